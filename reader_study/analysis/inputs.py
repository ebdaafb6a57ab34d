"""The document that a study is frozen into (schema ``leukoweb/study-inputs/1``): read, checked, and as objects.

Everything that an analysis uses stands in it, and nothing else is used. Class names are whatever the protocol says.
An answer that was not given is absent; an answer "cannot decide" is there and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leukoweb.core.exceptions import DomainError

SCHEMA = "leukoweb/study-inputs/1"
EDITION = 4  # of the analysis; the document says by which one it is computed (decision 0630)
KINDS = ("session", "pipeline", "imported")
ROLES = ("reader", "ai", "comparator")
MISSING = ("exclude", "wrong")


class InputsRefused(DomainError):
    """The study cannot be analysed as it stands; the message says what to do."""

    code = "E_ANALYSIS_INPUTS"


@dataclass(frozen=True, slots=True)
class Level:
    """A set of classes at which everything is analysed. The first level is that of the protocol.

    ``mapping`` leads from a class of the first level, whose name is ``first``, to a class of this one.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mapping: Mapping[str, str]
    positive: tuple[str, ...]
    first: str


@dataclass(frozen=True, slots=True)
class Case:
    """A patient under the study's code. ``reference`` is a class of the first level."""

    code: str
    reference: str
    n_images: int | None
    subgroups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One evaluator on one case. ``given`` holds the class at each level that was said; empty: cannot decide.

    Whether it is undecided at one level is for ``Inputs.undecided`` to say.
    """

    case: str
    given: Mapping[str, str]
    cannot_decide: bool
    row: Mapping[str, Any]

    @property
    def recognised(self) -> bool:
        """The reader knew the case or saw information."""
        return bool(self.row.get("recognised"))

    @property
    def seconds(self) -> float | None:
        """Active reading time."""
        value = self.row.get("active_ms")
        return None if value is None else float(value) / 1000

    @property
    def position(self) -> int | None:
        """Place in the order of the session, from 1."""
        value = self.row.get("position")
        return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A reader's session, a pipeline, or answers that were imported."""

    name: str
    kind: str
    role: str
    reader: str
    session: int
    primary: bool
    arm: str
    imported: bool
    answers: Mapping[str, Answer]
    row: Mapping[str, Any] = field(repr=False)

    @property
    def blinded(self) -> bool:
        """Whether the answers were given without seeing an AI result."""
        return self.arm != "ai_assisted"

    @property
    def foreign(self) -> bool:
        """An AI that the protocol does not name; up to the second edition no document said so."""
        return self.row.get("in_protocol") is False

    def label(self, level: Level, case: str) -> str | None:
        """The class at a level, derived from the first level where it was not said; None: no answer or undecided."""
        answer = self.answers.get(case)
        if answer is None or answer.cannot_decide:
            return None
        own = answer.given.get(level.name)
        finest = answer.given.get(level.first)
        return own or (level.mapping.get(finest) if finest else None)


@dataclass(frozen=True, slots=True)
class Inputs:
    """A checked document."""

    document: Mapping[str, Any] = field(repr=False)
    levels: tuple[Level, ...]
    cases: tuple[Case, ...]
    evaluators: tuple[Evaluator, ...]

    @property
    def plan(self) -> Mapping[str, Any]:
        """Margin, missing rule, level, resamples, seed, endpoints."""
        plan: Mapping[str, Any] = self.document["plan"]
        return plan

    @property
    def study(self) -> Mapping[str, Any]:
        """Title, cohort and marks of the study."""
        study: Mapping[str, Any] = self.document["study"]
        return study

    @property
    def edition(self) -> int:
        """By which edition of the analysis the document is computed; the first one did not say so."""
        return int(self.document.get("edition", 1))

    @property
    def margin(self) -> float | None:
        """Non-inferiority margin; None also for one that excludes nothing, which could once be locked."""
        margin: float | None = self.plan["margin"]
        return margin if margin is not None and 0 < margin < 1 else None

    @property
    def undecided_wrong(self) -> bool:
        """Whether every comparison counts undecided answers as wrong; the first edition did so in some only."""
        return self.plan["missing"] == "wrong" and self.edition > 1

    def undecided(self, evaluator: Evaluator, level: Level, case: str) -> bool:
        """Whether the answer says that there is no class at this level; no answer at all is not undecided.

        ``levels`` of an evaluator names those that it was asked at (an imported file's columns, or what the rules of
        a pipeline can answer; absent: all). A class
        at the first level is one at every level. Up to the second edition a class at any level decided them all.
        """
        answer = evaluator.answers.get(case)
        if answer is None or self.edition < 3:
            return answer is not None and answer.cannot_decide
        asked = evaluator.row.get("levels")
        here = asked is None or level.name in asked or level.first in asked
        return here and evaluator.label(level, case) is None

    def any_undecided(self, evaluators: Iterable[Evaluator], level: Level) -> bool:
        """Whether one of them is undecided on a case."""
        return any(self.undecided(e, level, case) for e in evaluators for case in e.answers)

    @property
    def interim(self) -> bool:
        """Made before the data were frozen and unblinded."""
        return bool(self.document["marks"]["interim"])

    @property
    def ai(self) -> Evaluator | None:
        """The AI that the protocol names."""
        return next((e for e in self.evaluators if e.role == "ai"), None)

    @property
    def comparators(self) -> tuple[Evaluator, ...]:
        """Other pipelines or imported AI."""
        return tuple(e for e in self.evaluators if e.role == "comparator")

    @property
    def sessions(self) -> tuple[Evaluator, ...]:
        """Blinded sessions of readers who have a primary one, those of one reader together."""
        main = {e.reader for e in self.primaries}
        return tuple(e for e in self.evaluators if e.role == "reader" and e.blinded and e.reader in main)

    @property
    def outside(self) -> tuple[Evaluator, ...]:
        """Blinded sessions of readers whose primary one is void or not sealed: shown by themselves, compared with
        nothing. Another session does not take the primary one's place, for the protocol chose it before the reading."""
        main = {e.reader for e in self.primaries}
        return tuple(e for e in self.evaluators if e.role == "reader" and e.blinded and e.reader not in main)

    @property
    def assisted(self) -> tuple[Evaluator, ...]:
        """Sessions in which the reader saw the AI result."""
        return tuple(e for e in self.evaluators if e.role == "reader" and not e.blinded)

    @property
    def primaries(self) -> tuple[Evaluator, ...]:
        """The one blinded session of each reader that enters the main analysis."""
        return tuple(e for e in self.evaluators if e.role == "reader" and e.blinded and e.primary)

    def reference(self, level: Level) -> list[str]:
        """Reference class of each case at a level."""
        return [level.mapping[case.reference] for case in self.cases]

    def labels(self, evaluator: Evaluator, level: Level) -> list[str | None]:
        """Class of each case at a level, in the order of the cases."""
        return [evaluator.label(level, case.code) for case in self.cases]


def parse(document: Mapping[str, Any]) -> Inputs:
    """Objects from the document.

    Raises
    ------
    InputsRefused
        Another schema or a later edition; no case; a case without reference; a class outside the protocol; a reader
        without readings; an evaluator twice, or a second primary session of a reader; an answer for a case that the
        study does not have; an open session in an analysis that is not marked interim.
    """
    if document.get("schema") != SCHEMA:
        raise InputsRefused(f"The schema is {document.get('schema')!r}, not {SCHEMA!r}.", code="E_SCHEMA")
    if document.get("edition", 1) not in range(1, EDITION + 1):
        raise InputsRefused(
            f"The inputs ask for edition {document['edition']!r} of the analysis; this program knows 1 to {EDITION}.",
            code="E_SCHEMA", hint="Check it with the version of leukoweb that made it, or a newer one.",
        )  # fmt: skip
    try:
        rows = document["plan"]["levels"]
        levels = tuple(_level(row, rows[0]) for row in rows)
        cases = _cases(document["cases"], levels[0])
        evaluators = tuple(_evaluator(row, levels, cases) for row in document["evaluators"])
        _check(document, evaluators)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputsRefused(
            f"The inputs are not built as {SCHEMA} says ({type(error).__name__}: {error}).", code="E_SCHEMA"
        ) from error
    return Inputs(document, levels, cases, evaluators)


def _level(row: Mapping[str, Any], first: Mapping[str, Any]) -> Level:
    missing = [name for name in first["classes"] if row["map"].get(name) not in row["classes"]]
    if missing:
        raise InputsRefused(f"Level {row['name']}: {_some(missing)} leads to no class of it.", code="E_SCHEMA")
    return Level(
        row["name"], row["title"], tuple(row["classes"]), dict(row["map"]), tuple(row.get("positive", ())),
        first["name"],
    )  # fmt: skip


def _cases(rows: Sequence[Mapping[str, Any]], first: Level) -> tuple[Case, ...]:
    if not rows:
        raise InputsRefused("The study has no cases.", code="E_NO_CASES")
    bare = [row["code"] for row in rows if not row.get("reference")]
    if bare:
        raise InputsRefused(
            f"{_some(bare)}: no reference diagnosis.",
            code="E_NO_REFERENCE",
            hint="Enter or import the missing reference diagnoses, then analyse again.",
        )
    foreign = [f"{row['code']} ({row['reference']})" for row in rows if row["reference"] not in first.classes]
    if foreign:
        raise InputsRefused(
            f"The reference of {_some(foreign)} is outside the protocol's classes {', '.join(first.classes)}.",
            code="E_CLASS_OUTSIDE",
            hint="Correct the reference diagnosis, or amend the class map of the protocol.",
        )
    _once([row["code"] for row in rows], "Case")
    return tuple(
        Case(row["code"], row["reference"], row.get("n_images"), dict(row.get("subgroups", {}))) for row in rows
    )


def _evaluator(row: Mapping[str, Any], levels: Sequence[Level], cases: Sequence[Case]) -> Evaluator:
    name = row["name"]
    if row["kind"] not in KINDS or row["role"] not in ROLES:
        raise InputsRefused(f"{name}: kind {row['kind']!r} and role {row['role']!r} are not known.", code="E_SCHEMA")
    if not row["answers"]:
        what = "has no readings" if row["role"] == "reader" else "has no predictions"
        raise InputsRefused(
            f"{name} {what}.",
            code="E_NO_READINGS",
            hint="Wait until the session is sealed, or import the readings. A session becomes void when its reader is "
            "replaced, or when the study is frozen early.",
        )
    known, by_level = {case.code for case in cases}, {level.name: level for level in levels}
    _once([answer["case"] for answer in row["answers"]], f"{name}: answer for case")
    if unknown := [asked for asked in row.get("levels") or () if asked not in by_level]:
        raise InputsRefused(f"{name} was asked at {_some(unknown)}, which is no level of the plan.", code="E_SCHEMA")
    answers = {}
    for answer in row["answers"]:
        if answer["case"] not in known:
            raise InputsRefused(f"{name} answers for {answer['case']}, which is not a case of the study.")
        given = dict(answer.get("answers", {}))
        for level, said in given.items():
            if level not in by_level or said not in by_level[level].classes:
                allowed = by_level[level].classes if level in by_level else ()
                raise InputsRefused(
                    f"{name}, case {answer['case']}: {said!r} is outside the protocol's classes "
                    f"{', '.join(allowed) or '(unknown level ' + repr(level) + ')'}.",
                    code="E_CLASS_OUTSIDE",
                    hint="An answer outside the protocol can only come from an import: correct and import it again.",
                )
        undecided = bool(answer.get("cannot_decide"))
        if undecided == bool(given):
            raise InputsRefused(f"{name}, case {answer['case']}: either a class or 'cannot decide', not both or none.")
        answers[answer["case"]] = Answer(answer["case"], given, undecided, answer)
    return Evaluator(
        name, row["kind"], row["role"], row.get("reader", ""), int(row.get("session", 0)), bool(row.get("primary")),
        row.get("arm", ""), bool(row.get("imported")), answers, row,
    )  # fmt: skip


def _check(document: Mapping[str, Any], evaluators: Sequence[Evaluator]) -> None:
    plan, marks = document["plan"], document["marks"]
    if not evaluators:
        raise InputsRefused("The study has no evaluators: no sealed session and no AI.", code="E_NO_READINGS")
    _once([e.name for e in evaluators], "Evaluator")
    if plan["missing"] not in MISSING:
        raise InputsRefused(f"The rule {plan['missing']!r} for undecided answers is not one of {', '.join(MISSING)}.")
    if sum(e.role == "ai" for e in evaluators) > 1:
        raise InputsRefused("More than one evaluator is the AI of the protocol; the others are comparators.")
    for reader in {e.reader for e in evaluators if e.role == "reader" and e.blinded}:
        own = [e for e in evaluators if e.reader == reader and e.role == "reader" and e.blinded]
        if sum(e.primary for e in own) > 1:
            raise InputsRefused(f"{reader} has {sum(e.primary for e in own)} primary sessions; only one can be.")
    unfinished = [e.name for e in evaluators if e.role == "reader" and e.row.get("state", "sealed") != "sealed"]
    unfinished += [str(name) for name in marks.get("left_out", [])]
    if unfinished and not marks["interim"]:
        raise InputsRefused(
            f"Not sealed yet: {_some(unfinished)}.",
            code="E_OPEN_SESSION",
            hint="Wait for the seal; replace the reader or freeze the study early, and the session becomes void; or "
            "make an interim analysis with a reason.",
        )


def _once(names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputsRefused(f"{what} {_some(twice)} occurs more than once.", code="E_TWICE")


def _some(names: Sequence[str], limit: int = 8) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(map(str, names[:limit]))}{more}"
