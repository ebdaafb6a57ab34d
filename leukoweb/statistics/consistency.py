"""Can a printed row of metrics come from any table of whole patients at all?

A manuscript prints class sizes and rounded metrics. :func:`check_table` says for every printed row which
confusion matrices of whole numbers reproduce it, or that none can. It searches everything: all metrics depend
on the matrix only through the correctly classified patients of each class (the diagonal) and the false
positives of each class, so these *signatures* are enumerated, sieved in floating point with a tolerance and
confirmed in exact fractions; then the matrices of each signature are counted. Where the space is too large to
search, the answer says so and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from leukoweb.statistics.consistency_matrices import Matrix, first_matrices
from leukoweb.statistics.consistency_metrics import (
    Conventions,
    Printed,
    Signature,
    metric_value,
    parse_printed,
    rounds_to,
)
from leukoweb.statistics.consistency_probe import probe
from leukoweb.statistics.consistency_search import search
from leukoweb.statistics.results import StatisticsError, to_json_value

MAX_LISTED = 200
MAX_COUNTED = 10_000
MAX_CLASSES = 12
DEFAULT_BUDGET = 5_000_000
# Signatures that are looked at; more of them leave no doubt that the row can be reproduced.
_MAX_SIGNATURES = 20_000


@dataclass(frozen=True, slots=True)
class RowCheck:
    """What the search found for one printed row.

    Attributes
    ----------
    verdict
        ``reproduced``: at least one matrix fits; ``impossible``: none does, everything was searched;
        ``undecided``: the space is too large.
    n_matrices
        Matrices that fit; None when undecided or when counting stopped (``at_least`` is then set).
    matrices
        Up to ``MAX_LISTED`` of them, rows = reference.
    blame
        For an impossible row: each printed metric without which the others can be reproduced, with the values
        that it could then have had, rounded as printed.
    exact
        Unrounded values of the printed metrics where they are the same in every matrix that fits.
    note
        Anything the reader must know.
    """

    name: str
    printed: dict[str, str]
    verdict: str
    n_matrices: int | None
    matrices: tuple[Matrix, ...] = ()
    blame: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exact: dict[str, float] = field(default_factory=dict)
    at_least: bool = False
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain: dict[str, Any] = to_json_value({name: getattr(self, name) for name in self.__dataclass_fields__})
        return plain


def check_table(
    n_per_class: Mapping[str, int],
    rows: Mapping[str, Mapping[str, str | float]],
    decimals: int | None = None,
    conventions: Conventions | None = None,
    *,
    cells: Mapping[tuple[str, str], int] | None = None,
    budget: int = DEFAULT_BUDGET,
) -> list[RowCheck]:
    """Check every printed row against all confusion matrices with these class sizes.

    Parameters
    ----------
    n_per_class
        Patients per reference class, in class order.
    rows
        Name of the row -> metric -> printed value. Metrics: ``accuracy``, ``kappa``, ``macro_`` + ``ppv`` |
        ``sensitivity`` | ``specificity`` | ``f1``, ``weighted_`` + the same, or ``CLASS:metric`` for one
        class. A value given as text keeps its own number of decimals ("0.80" has two), and ends with "%" when
        it is a percentage.
    decimals
        Decimals of values given as numbers; needed for those.
    conventions
        Rounding, macro F1 and undefined classes; by default those of the paper, see :class:`Conventions`.
    cells
        Known cells, (reference class, predicted class) -> count, for example ("CLL", "NO_LEUKEMIA"): 0.
    budget
        Partial signatures that may be looked at before giving up with ``undecided``.

    Notes
    -----
    Rounding is checked on exact fractions, so 0.125 is 0.13 half-up and never 0.12 by a binary accident.

    Errors: StatisticsError for class sizes below 1, unknown metrics or classes, and values that are not
    numbers.

    Examples
    --------
    >>> row = {"macro_ppv": "0.95", "macro_f1": "0.94", "accuracy": "0.92"}
    >>> never = {("ACUTE", "NONE"): 0, ("CHRONIC", "NONE"): 0}
    >>> found = check_table({"ACUTE": 29, "CHRONIC": 7, "NONE": 28}, {"AI": row}, cells=never)
    >>> found[0].verdict, found[0].matrices
    ('reproduced', (((29, 0, 0), (0, 7, 0), (5, 0, 23)),))
    """
    rules = conventions or Conventions()
    classes, sizes = _check_classes(n_per_class)
    known = _check_cells(cells or {}, classes, sizes)
    out = []
    for name, values in rows.items():
        printed = {
            metric: parse_printed(metric, value, classes, decimals) for metric, value in values.items() if value != ""
        }
        out.append(_check_row(name, printed, sizes, known, rules, budget))
    return out


def _check_classes(n_per_class: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    classes, sizes = tuple(n_per_class), tuple(int(n) for n in n_per_class.values())
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise StatisticsError(
            f"There are {len(classes)} classes; the checker takes 2 to {MAX_CLASSES}.", code="E_CLASSES", field="n"
        )
    for name, size in zip(classes, sizes, strict=True):
        if size < 1:
            raise StatisticsError(f"Class {name!r} has {size} patients; at least 1 is needed.", field="n")
    return classes, sizes


def _check_cells(
    cells: Mapping[tuple[str, str], int], classes: Sequence[str], sizes: Sequence[int]
) -> dict[tuple[int, int], int]:
    known = {}
    for (reference, predicted), count in cells.items():
        if reference not in classes or predicted not in classes:
            raise StatisticsError(
                f"Cell {reference} > {predicted}: the classes are {', '.join(classes)}.", field="cells"
            )
        i, j = classes.index(reference), classes.index(predicted)
        if not 0 <= count <= sizes[i]:
            raise StatisticsError(
                f"Cell {reference} > {predicted} cannot be {count}: the class has {sizes[i]} patients.", field="cells"
            )
        known[i, j] = int(count)
    return known


def _check_row(
    name: str,
    printed: Mapping[str, Printed],
    sizes: tuple[int, ...],
    known: Mapping[tuple[int, int], int],
    rules: Conventions,
    budget: int,
) -> RowCheck:
    as_text = {metric: value.text for metric, value in printed.items()}
    if not printed:
        return RowCheck(name, as_text, "undecided", None, note="No metric is printed.")
    found = search(sizes, printed, known, rules, budget, _MAX_SIGNATURES)
    total, kept = 0, []
    listed: list[Matrix] = []
    stopped = not found.complete
    for signature in found.signatures:
        fitting = first_matrices(sizes, signature, known, MAX_COUNTED - total)
        stopped |= not fitting.complete
        if fitting.matrices:
            total += len(fitting.matrices)
            kept.append(signature)
            listed += fitting.matrices[: MAX_LISTED - len(listed)]
        if total >= MAX_COUNTED:
            break
    if total:
        exact = {} if stopped else _common_values(sizes, printed, kept, rules)
        note = "The search stopped early; there may be more matrices." if stopped else ""
        return RowCheck(name, as_text, "reproduced", total, tuple(listed), {}, exact, stopped, note)
    if stopped:
        by_trial = probe(sizes, printed, known, rules)
        if by_trial is not None:
            some = tuple(first_matrices(sizes, by_trial, known, 1).matrices)
            note = "Too many tables to search; this one was found by trial, there will be many more."
            return RowCheck(name, as_text, "reproduced", 1, some, {}, {}, True, note)
        note = f"The space is too large: nothing among the first {found.looked_at} partial tables, nor by trial."
        hint = " Add metrics of single classes or known cells, or a larger budget."
        return RowCheck(name, as_text, "undecided", None, note=note + hint)
    blame, note = _blame(printed, sizes, known, rules, budget)
    return RowCheck(name, as_text, "impossible", 0, blame=blame, note=note)


def _common_values(
    sizes: tuple[int, ...], printed: Mapping[str, Printed], kept: Sequence[Signature], rules: Conventions
) -> dict[str, float]:
    out = {}
    for metric, value in printed.items():
        values = {metric_value(value, sizes, signature, rules) for signature in kept}
        if len(values) == 1 and (only := values.pop()) is not None:
            out[metric] = float(only)
    return out


def _blame(
    printed: Mapping[str, Printed],
    sizes: tuple[int, ...],
    known: Mapping[tuple[int, int], int],
    rules: Conventions,
    budget: int,
) -> tuple[dict[str, tuple[str, ...]], str]:
    """Each metric whose removal leaves a row that can be reproduced, with the values it could have had."""
    blame: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []
    partly: list[str] = []
    for suspect, value in printed.items():
        others = {metric: other for metric, other in printed.items() if metric != suspect}
        if not others:
            continue
        found = search(sizes, others, known, rules, budget // len(printed), _MAX_SIGNATURES)
        candidates = found.signatures
        if not found.complete and not candidates:
            by_trial = probe(sizes, others, known, rules)
            candidates = [by_trial] if by_trial else []
        possible: set[Fraction] = set()
        for signature in candidates:
            exact = metric_value(value, sizes, signature, rules)
            rounded = None if exact is None else rounds_to(exact, value, rules.rounding)
            if rounded is not None and rounded not in possible and first_matrices(sizes, signature, known, 1).matrices:
                possible.add(rounded)
        if possible and not found.complete:
            partly.append(suspect)
        if possible:
            blame[suspect] = tuple(value.show(item) for item in sorted(possible))
        elif not found.complete:
            unknown.append(suspect)
    note = f"The search was too large to tell without: {', '.join(unknown)}." if unknown else ""
    if partly:
        note = f"{note} Not all values are listed for: {', '.join(partly)}.".strip()
    if not blame and not unknown and len(printed) > 1:
        note = "Leaving out any single metric does not help: at least two are wrong, or the class sizes are."
    return blame, note
