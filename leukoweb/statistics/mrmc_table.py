"""Read the table of a multi-reader study: columns case, truth, then one column of scores per modality and
reader.

A score column is called ``<modality>_<reader>``; the reader is what follows the last underscore. Commas,
semicolons and tabs are recognised as separators, an empty cell is a missing score.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.results import StatisticsError


@dataclass(frozen=True, slots=True)
class MrmcTable:
    """One study. ``truth`` is True for positive cases; NaN scores are missing."""

    cases: tuple[str, ...]
    truth: NDArray[np.bool_]  # (n_cases,)
    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    scores: FloatArray  # (n_modalities, n_readers, n_cases)
    clusters: tuple[str, ...] | None
    ai: FloatArray | None  # (n_cases,)

    def complete(self) -> tuple[MrmcTable, int]:
        """The table without the cases that have a missing score anywhere, and how many these were."""
        whole = np.isfinite(self.scores).all(axis=(0, 1))
        if self.ai is not None:
            whole &= np.isfinite(self.ai)
        kept = np.flatnonzero(whole)
        table = MrmcTable(
            cases=tuple(self.cases[i] for i in kept),
            truth=self.truth[kept],
            modalities=self.modalities,
            readers=self.readers,
            scores=self.scores[:, :, kept],
            clusters=None if self.clusters is None else tuple(self.clusters[i] for i in kept),
            ai=None if self.ai is None else self.ai[kept],
        )
        return table, int((~whole).sum())


def parse_mrmc(
    lines: Iterable[str],
    *,
    truth_positive: str = "1",
    case: str = "case",
    truth: str = "truth",
    ai: str = "",
    cluster: str = "",
) -> MrmcTable:
    """Parse a table with a header line.

    Parameters
    ----------
    truth_positive
        Value of the truth column that means positive; every other value is negative.
    ai
        Column of one fixed evaluator. All other score columns are then readers of one modality, whatever
        their names.
    cluster
        Column that says which cases belong together, such as a patient.

    Errors: StatisticsError for a missing or doubled column, a score that is not a finite number, a case without
    truth or listed twice, or modalities that were not read by the same readers.

    Example
    -------
    >>> table = parse_mrmc(["case,truth,film_r1,film_r2", "1,0,1,2", "2,1,4,"])
    >>> table.modalities, table.readers, table.scores.shape
    (('film',), ('r1', 'r2'), (1, 2, 2))
    """
    header, rows = _rows(lines)
    for name in filter(None, (case, truth, ai, cluster)):
        if name not in header:
            raise StatisticsError(
                f"There is no column {name!r}; the columns are {', '.join(header)}.",
                code="E_COLUMN",
                field=name,
            )
    roles = [name for name in (case, truth, ai) if name]
    if len(set(roles)) < len(roles) or cluster in (truth, *filter(None, (ai,))):
        raise StatisticsError(
            f"One column has two roles among case {case!r}, truth {truth!r}, AI {ai!r} and cluster {cluster!r}.",
            code="E_COLUMN",
            hint="Only case and cluster may be the same column.",
        )
    score_columns = [name for name in header if name not in (case, truth, ai, cluster)]
    if not score_columns:
        raise StatisticsError("There is no column of scores.", code="E_COLUMN")
    modalities, readers, place = _crossing(score_columns, single=bool(ai))
    if not rows:
        raise StatisticsError("The table has a header but no case.", code="E_EMPTY")
    cases = tuple(row[header.index(case)] for row in rows)
    doubled = sorted({name for name in cases if cases.count(name) > 1}) if len(set(cases)) < len(cases) else []
    if doubled:
        raise StatisticsError(
            f"Case {doubled[0]!r} has more than one row.",
            code="E_CASE_TWICE",
            field=case,
            hint="One row per case.",
        )
    truths = [row[header.index(truth)] for row in rows]
    if "" in truths:
        raise StatisticsError(f"Case {cases[truths.index('')]!r} has no truth.", code="E_TRUTH", field=truth)
    clusters = tuple(row[header.index(cluster)] for row in rows) if cluster else None
    if clusters and "" in clusters:
        raise StatisticsError(f"Case {cases[clusters.index('')]!r} has no {cluster}.", code="E_CASE", field=cluster)
    scores = np.full((len(modalities), len(readers), len(rows)), np.nan)
    for name in score_columns:
        scores[place[name]] = _numbers(name, header, rows, cases)
    return MrmcTable(
        cases=cases,
        truth=np.array([_same(value, truth_positive) for value in truths], dtype=bool),
        modalities=modalities,
        readers=readers,
        scores=scores,
        clusters=clusters,
        ai=_numbers(ai, header, rows, cases) if ai else None,
    )


def _rows(lines: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    text = [line for line in lines if line.strip()]
    if not text:
        raise StatisticsError("The table is empty.", code="E_EMPTY")
    separator = max(",;\t", key=text[0].count)
    header, *rows = ([cell.strip() for cell in row] for row in csv.reader(text, delimiter=separator))
    header[0] = header[0].lstrip("\ufeff")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise StatisticsError(f"Two columns are called {twice!r}.", code="E_COLUMN")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise StatisticsError(f"Line {number} has {len(row)} cells, the header has {len(header)}.", code="E_ROW")
    return header, rows


def _crossing(
    columns: Sequence[str], *, single: bool
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, tuple[int, int]]]:
    """Modalities and readers in column order, and each column's place among them."""
    if single:
        return ("readers",), tuple(columns), {name: (0, j) for j, name in enumerate(columns)}
    odd = [name for name in columns if not all(name.rpartition("_")[::2])]
    if odd:
        raise StatisticsError(
            f"Column {odd[0]!r} is not called <modality>_<reader>.",
            code="E_COLUMN",
            field=odd[0],
            hint="Rename it, or name one fixed evaluator with --ai; all other columns are then its readers.",
        )
    split = [name.rpartition("_")[::2] for name in columns]
    modalities = tuple(dict.fromkeys(modality for modality, _ in split))
    readers = tuple(dict.fromkeys(reader for _, reader in split))
    missing = [f"{m}_{r}" for m in modalities for r in readers if f"{m}_{r}" not in columns]
    if missing:
        raise StatisticsError(
            f"The study is not fully crossed: there is no column {missing[0]!r}.",
            code="E_NOT_CROSSED",
            hint="Every reader must have read with every modality.",
        )
    return (
        modalities,
        readers,
        {name: (modalities.index(m), readers.index(r)) for name, (m, r) in zip(columns, split, strict=True)},
    )


def _numbers(name: str, header: Sequence[str], rows: Sequence[Sequence[str]], cases: Sequence[str]) -> FloatArray:
    index = header.index(name)
    out: list[float] = []
    for row, case in zip(rows, cases, strict=True):
        try:
            number = float(row[index] or "nan")
        except ValueError:
            number = float("inf")
        if row[index] and not np.isfinite(number):
            raise StatisticsError(
                f"Column {name!r}, case {case!r}: {row[index]!r} is not a number.",
                code="E_NUMBER",
                field=name,
                hint="Leave the cell empty for a score that is missing; write decimals with a point.",
            )
        out.append(number)
    return np.array(out)


def _same(value: Any, wanted: str) -> bool:
    """Whether two cells mean the same; 1 and 1.0 do."""
    try:
        return float(value) == float(wanted)
    except ValueError:
        return str(value) == wanted
