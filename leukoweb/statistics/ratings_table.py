"""A table of reads, one row per case: what the columns are, read from CSV, checked, and encoded.

An empty cell is a read that did not happen. Class names are whatever the plan says, in the order of the plan.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from leukoweb.statistics.bootstrap import MAX_RESAMPLES, Scheme, make_scheme
from leukoweb.statistics.confusion import Ints, check_classes, encode
from leukoweb.statistics.intervals import check_level
from leukoweb.statistics.results import StatisticsError

Columns = Mapping[str, Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class RatingsPlan:
    """What to analyse.

    Attributes
    ----------
    raters
        Columns of the readers; the name of a reader in ``sessions`` stands for all of its sessions.
    classes
        Declared classes in order; the order is that of the confusion matrices and of the weighted kappas.
    sessions
        Sessions (columns) of a reader who read more than once, the primary session first.
    reference, ai, case
        Columns of the reference diagnosis, of the AI's answer, and of the patient. A patient with several rows makes
        the intervals clustered.
    positive
        Classes that count as positive in the binary analysis.
    margin
        Non-inferiority margin, fixed before the reading.
    bootstrap, seed
        Resamples (0 = analytic intervals only) and the seed that makes them repeatable.
    level
        Coverage of all intervals.
    stratified
        Draw patients within the reference classes, so that each resample has the study's case mix.
    """

    raters: tuple[str, ...]
    classes: tuple[str, ...]
    sessions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reference: str | None = None
    ai: str | None = None
    case: str | None = None
    positive: tuple[str, ...] = ()
    margin: float | None = None
    bootstrap: int = 2000
    seed: int = 1
    level: float = 0.95
    stratified: bool = True


@dataclass(frozen=True, slots=True)
class Study:
    """The encoded table.

    Attributes
    ----------
    evaluators
        Names, the AI first, then the readers' sessions in the order of the plan.
    codes
        Class of each read, -1 = not read.  # (n, E)
    reference
        Class of each case, -1 = unknown; None without a reference column.  # (n,)
    ai
        Whether evaluator 0 is the AI.
    primaries
        Positions of the readers' primary sessions.
    reader_of
        Reader of each evaluator; empty for the AI.
    clusters
        Patient of each row when a patient has several rows, else None.  # (n,)
    positive
        Positions of the positive classes.
    notes
        Sentences for the report about how the table was taken.
    """

    plan: RatingsPlan
    evaluators: tuple[str, ...]
    codes: Ints
    reference: Ints | None
    ai: bool
    primaries: tuple[int, ...]
    reader_of: tuple[str, ...]
    clusters: Ints | None
    positive: tuple[int, ...]
    scheme: Scheme
    notes: tuple[str, ...]

    @property
    def n_cases(self) -> int:
        """Rows of the table."""
        return int(self.codes.shape[0])

    @property
    def n_classes(self) -> int:
        """Declared classes."""
        return len(self.plan.classes)

    def pairs(self, *, within_reader: bool = False) -> list[tuple[int, int]]:
        """Pairs of evaluators: different readers (or AI and reader), or two sessions of one reader."""
        every = combinations(range(len(self.evaluators)), 2)
        return [(a, b) for a, b in every if (self.reader_of[a] == self.reader_of[b]) == within_reader]

    def is_primary(self, index: int) -> bool:
        """Whether the evaluator is the AI or a reader's primary session."""
        return index in self.primaries or (self.ai and index == 0)


def read_csv(text: str) -> dict[str, list[str]]:
    """Columns of a CSV text with one header line; comma, semicolon or tab, whichever splits the header most.

    Errors: ``StatisticsError`` (E_CSV) for an empty file, no data row, a column name that is empty or given twice, or a
    row with another number of cells (the header is line 1), or text that is no CSV.

    Example
    -------
    >>> read_csv("case;r1\\n1;AML\\n2;\\n")
    {'case': ['1', '2'], 'r1': ['AML', '']}
    """
    text = text.removeprefix("\ufeff")
    header_line = text.split("\n", 1)[0]
    if not header_line.strip():
        raise StatisticsError("The file is empty or has no header line.", code="E_CSV")
    delimiter = max(",;\t", key=header_line.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise StatisticsError(f"The file is not a CSV table: {error}.", code="E_CSV") from error
    header = [name.strip() for name in rows[0]]
    unusable = sorted({name for name in header if header.count(name) > 1 or not name})
    if unusable:
        raise StatisticsError(f"Column names empty or given twice: {', '.join(map(repr, unusable))}.", code="E_CSV")
    filled = [(number, row) for number, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    for number, row in filled:
        if len(row) != len(header):
            raise StatisticsError(f"Line {number} has {len(row)} cells, the header has {len(header)}.", code="E_CSV")
    if not filled:
        raise StatisticsError("The file has a header but no row.", code="E_CSV")
    return {name: [row[place].strip() for _, row in filled] for place, name in enumerate(header)}


def parse_sessions(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Sessions by reader from ``P1=P1-1,P1-2``; several readers by ``;`` or in several texts. Primary first.

    Example
    -------
    >>> parse_sessions(["P1=P1-1,P1-2"])
    {'P1': ('P1-1', 'P1-2')}
    """
    out: dict[str, tuple[str, ...]] = {}
    for group in (part for text in texts for part in text.split(";") if part.strip()):
        reader, equals, names = group.partition("=")
        sessions = tuple(name.strip() for name in names.split(",") if name.strip())
        if not equals or not reader.strip() or len(sessions) < 2 or reader.strip() in out:
            raise StatisticsError(
                f"{group.strip()!r} does not name a reader and two or more of the reader's sessions.",
                code="E_SESSIONS",
                field="sessions",
                hint='Write "P1=P1-1,P1-2", the primary session first; separate readers by ";".',
            )
        out[reader.strip()] = sessions
    return out


def check_plan(plan: RatingsPlan) -> None:
    """Errors: ``StatisticsError`` for options that contradict each other or lie outside their limits."""
    check_classes(plan.classes)
    check_level(plan.level)
    if not 0 <= plan.bootstrap <= MAX_RESAMPLES:
        raise StatisticsError(
            f"{plan.bootstrap} bootstrap resamples; 0 to {MAX_RESAMPLES} are possible.",
            code="E_RESAMPLES",
            field="bootstrap",
        )
    if plan.seed < 0:
        raise StatisticsError(f"The seed must not be negative, found {plan.seed}.", code="E_SEED", field="seed")
    if plan.margin is not None and not 0 < plan.margin < 1:
        raise StatisticsError(
            f"The margin must lie between 0 and 1, found {plan.margin}.", code="E_MARGIN", field="margin"
        )
    unknown = [name for name in plan.positive if name not in plan.classes]
    if unknown:
        raise StatisticsError(
            f"Positive {', '.join(unknown)} is not among the classes {', '.join(plan.classes)}.",
            code="E_POSITIVE",
            field="positive",
        )
    if len(set(plan.positive)) >= len(plan.classes):
        raise StatisticsError(
            f"All {len(plan.classes)} classes are positive; one or more must be negative.",
            code="E_POSITIVE",
            field="positive",
        )


def _reader_columns(plan: RatingsPlan) -> dict[str, str]:
    """Reader of each column, in the order of the plan: a reader's name stands for all of the reader's sessions."""
    owner = {session: reader for reader, sessions in plan.sessions.items() for session in sessions}
    if len(owner) != sum(len(sessions) for sessions in plan.sessions.values()):
        raise StatisticsError("A session is named twice.", code="E_SESSIONS", field="sessions")
    if plan.ai is not None and plan.ai in owner:
        raise StatisticsError(
            f"Column {plan.ai!r} is both the AI and a session of {owner[plan.ai]}.", code="E_COLUMNS", field="ai"
        )
    out: dict[str, str] = {}
    for name in plan.raters:
        for column in plan.sessions.get(name, (name,)):
            out[column] = owner.get(column, column)
    for column, reader in owner.items():
        out.setdefault(column, reader)
    if plan.ai is not None:
        out.pop(plan.ai, None)
    if plan.reference in out or (plan.ai is not None and plan.ai == plan.reference):
        raise StatisticsError(
            f"Column {plan.reference!r} is both the reference and an evaluator.", code="E_COLUMNS", field="reference"
        )
    return out


def build_study(columns: Columns, plan: RatingsPlan) -> Study:
    """Encode the columns that the plan names.

    Errors: ``StatisticsError`` for a missing column (the existing ones are named), an unknown label, columns of
    unequal length, no rows, or fewer than one evaluator.
    """
    check_plan(plan)
    owners = _reader_columns(plan)
    evaluators = (*((plan.ai,) if plan.ai is not None else ()), *owners)
    wanted = [name for name in (*evaluators, plan.reference, plan.case) if name is not None]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise StatisticsError(
            f"No column {', '.join(map(repr, missing))}; the table has {', '.join(columns)}.", code="E_COLUMNS"
        )
    lengths = {len(columns[name]) for name in wanted}
    if not evaluators or len(lengths) != 1 or lengths == {0}:
        raise StatisticsError("The table needs one evaluator, one row, and columns of equal length.", code="E_COLUMNS")
    codes = np.stack([encode(columns[name], plan.classes, column=name) for name in evaluators], axis=1)
    reference = None if plan.reference is None else encode(columns[plan.reference], plan.classes, column=plan.reference)
    reader_of = (*(("",) if plan.ai is not None else ()), *owners.values())
    secondary = {session for sessions in plan.sessions.values() for session in sessions[1:]}
    primaries = tuple(index for index, name in enumerate(evaluators) if reader_of[index] and name not in secondary)
    clusters, notes = _clusters(columns, plan)
    scheme, more = _scheme(codes.shape[0], reference, clusters, plan)
    positive = tuple(plan.classes.index(name) for name in dict.fromkeys(plan.positive))
    return Study(
        plan, evaluators, codes, reference, plan.ai is not None, primaries, reader_of, clusters, positive, scheme,
        tuple(notes + more),
    )  # fmt: skip


def _clusters(columns: Columns, plan: RatingsPlan) -> tuple[Ints | None, list[str]]:
    if plan.case is None:
        return None, []
    names = np.asarray([str(name) for name in columns[plan.case]])
    if np.any(names == ""):
        row = int(np.flatnonzero(names == "")[0]) + 1
        raise StatisticsError(f"Data row {row} has no {plan.case}.", code="E_CASE", field=plan.case)
    labels = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
    n_patients = int(labels.max()) + 1
    if n_patients == names.size:
        return None, []
    note = (
        f"{names.size} rows belong to {n_patients} patients: intervals are clustered by patient; tests that need "
        "independent rows are left out."
    )
    return labels, [note]


def _scheme(n_cases: int, reference: Ints | None, clusters: Ints | None, plan: RatingsPlan) -> tuple[Scheme, list[str]]:
    if reference is None or not plan.stratified:
        return make_scheme(n_cases, clusters=clusters), []
    try:
        return make_scheme(n_cases, strata=reference, clusters=clusters), []
    except StatisticsError as error:
        if error.code != "E_CLUSTER":
            raise
        note = "A patient has rows with different reference classes: patients are drawn without strata."
        return make_scheme(n_cases, clusters=clusters), [note]
