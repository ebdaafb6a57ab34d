"""Read a pasted table of metrics for the consistency checker, and write its answer as text.

A paste looks like this; the lines in front of the table are optional, because the command takes them as options too::

    n: ALL=7, AML=22, CLL=3, CML=4, NO_LEUKEMIA=28
    cell: *>NO_LEUKEMIA=0
    also AI: ALL:f1=0.36, AML:f1=0.57
    Evaluator  Precision/PPV  Sensitivity/recall  F1    Accuracy  Specificity
    AI         0.80           0.80                0.77  0.70      0.93

``cell`` names what the text says about single cells, reference > predicted, ``*`` for every other class; ``also``
adds values that are printed elsewhere. Columns are separated by tabs, semicolons, commas or blanks; an empty cell or
a dash is no value.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leukoweb.statistics.consistency import RowCheck
from leukoweb.statistics.consistency_metrics import AVERAGES, PER_CLASS, WHOLE
from leukoweb.statistics.results import StatisticsError

_ALIASES = {
    "precision": "ppv",
    "ppv": "ppv",
    "precisionppv": "ppv",
    "ppvprecision": "ppv",
    "positivepredictivevalue": "ppv",
    "npv": "npv",
    "negativepredictivevalue": "npv",
    "sensitivity": "sensitivity",
    "recall": "sensitivity",
    "sensitivityrecall": "sensitivity",
    "recallsensitivity": "sensitivity",
    "specificity": "specificity",
    "f1": "f1",
    "f1score": "f1",
    "accuracy": "accuracy",
    "acc": "accuracy",
    "kappa": "kappa",
    "cohenkappa": "kappa",
    "cohenskappa": "kappa",
}
_NOT_PRINTED = ("", "-", "\N{EN DASH}", "\N{EM DASH}", "n/a", "na")


@dataclass(slots=True)
class PastedTable:
    """What a paste says: class sizes, rows of metric -> printed text, and known cells."""

    n_per_class: dict[str, int] = field(default_factory=dict)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    cells: dict[tuple[str, str], int] = field(default_factory=dict)


def parse_paste(
    lines: Iterable[str],
    *,
    sizes: str = "",
    cells: Sequence[str] = (),
    also: Sequence[str] = (),
    average: str = "macro",
) -> PastedTable:
    """Read a paste; ``sizes``, ``cells`` and ``also`` add to its ``n:``, ``cell:`` and ``also ROW:`` lines.

    ``average`` is what a bare "F1" or "Sensitivity" means. Errors: StatisticsError with the line or column at fault.
    """
    table_lines: list[str] = []
    found_cells, found_also = [], []
    for line in lines:
        directive = re.match(r"\s*(n|cell|also\s+[^:]+):(.*)", line, re.IGNORECASE)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not directive or table_lines:
            table_lines.append(line)
        elif directive[1].lower() == "n":
            sizes = sizes or directive[2]
        elif directive[1].lower() == "cell":
            found_cells.append(directive[2])
        else:
            found_also.append(f"{directive[1][4:].strip()}:{directive[2]}")
    out = PastedTable(n_per_class=_sizes(sizes))
    out.rows = _rows(table_lines, tuple(out.n_per_class), average)
    for text in [*found_cells, *cells]:
        out.cells |= _cells(text, tuple(out.n_per_class))
    for text in [*found_also, *also]:
        name, _, values = text.partition(":")
        if name.strip() not in out.rows:
            raise StatisticsError(f"There is no row {name.strip()!r} to add values to.", code="E_ROW", field="also")
        for item in _items(values):
            metric, value = _pair(item, "also")
            out.rows[name.strip()][metric_name(metric, tuple(out.n_per_class), average)] = value
    return out


def metric_name(heading: str, classes: Sequence[str], average: str) -> str:
    """The checker's name of a column heading such as "Precision/PPV", "macro F1" or "ALL:f1".

    Errors: StatisticsError for a heading that names no metric.
    """
    of_class, colon, rest = heading.strip().rpartition(":")
    plain = re.sub(r"[^a-z0-9]", "", (rest if colon else heading).lower())
    if colon and of_class in classes and _ALIASES.get(plain) in PER_CLASS:
        return f"{of_class}:{_ALIASES[plain]}"
    for prefix in AVERAGES:
        if not colon and plain.startswith(prefix):
            average, plain = prefix, plain.removeprefix(prefix).removeprefix("averaged")
    if colon or plain not in _ALIASES:
        raise StatisticsError(
            f"Column {heading!r} is no metric that the checker knows.",
            code="E_METRIC",
            field=heading,
            hint="Known: PPV, sensitivity, specificity, NPV, F1, accuracy, kappa; CLASS:F1 for one class.",
        )
    name = _ALIASES[plain]
    return name if name in WHOLE else f"{average}_{name}"


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[,;\s]+", text.strip()) if item]


def _pair(item: str, field_name: str) -> tuple[str, str]:
    name, equals, value = item.rpartition("=")
    if not equals or not name.strip():
        raise StatisticsError(f"{item!r} is not of the form NAME=VALUE.", code="E_PAIR", field=field_name)
    return name.strip(), value.strip()


def _count(text: str, field_name: str) -> int:
    if not text.isdecimal():
        raise StatisticsError(f"{text!r} is not a number of patients.", code="E_NUMBER", field=field_name)
    return int(text)


def _sizes(text: str) -> dict[str, int]:
    if not text.strip():
        raise StatisticsError(
            "The class sizes are missing.", code="E_CLASSES", field="n", hint="Say for example: n: ALL=7, AML=22"
        )
    return {name: _count(value, "n") for name, value in (_pair(item, "n") for item in _items(text))}


def _cells(text: str, classes: Sequence[str]) -> dict[tuple[str, str], int]:
    out: dict[tuple[str, str], int] = {}
    for item in _items(text):
        where, value = _pair(item, "cell")
        reference, arrow, predicted = where.partition(">")
        if not arrow or predicted not in classes or reference not in (*classes, "*"):
            raise StatisticsError(
                f"Cell {where!r}: write REFERENCE>PREDICTED with the classes {', '.join(classes)}, or * as reference.",
                code="E_CELL",
                field="cell",
            )
        given = [name for name in classes if name != predicted] if reference == "*" else [reference]
        out |= {(name, predicted): _count(value, "cell") for name in given}
    return out


def _rows(lines: Sequence[str], classes: Sequence[str], average: str) -> dict[str, dict[str, str]]:
    if len(lines) < 2:
        raise StatisticsError("The table needs a line of headings and at least one row.", code="E_EMPTY")
    separator = max("\t;,", key=lines[0].count)
    if lines[0].count(separator):
        header, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator))
    else:
        header, *rows = _by_blanks(lines)
    metrics = [metric_name(heading, classes, average) for heading in header[1:]]
    if len(set(metrics)) < len(metrics):
        raise StatisticsError("Two columns are the same metric.", code="E_METRIC")
    out: dict[str, dict[str, str]] = {}
    for row in rows:
        if len(row) != len(header):
            raise StatisticsError(
                f"Row {row[0]!r} has {len(row)} cells, the headings are {len(header)}.", code="E_ROW", field=row[0]
            )
        if row[0] in out:
            raise StatisticsError(f"Two rows are called {row[0]!r}.", code="E_ROW", field=row[0])
        out[row[0]] = {
            metric: value for metric, value in zip(metrics, row[1:], strict=True) if value.lower() not in _NOT_PRINTED
        }
    return out


def _by_blanks(lines: Sequence[str]) -> list[list[str]]:
    """Split at blanks; a row's name may have several words, so its values are counted from the right."""
    # Two blanks or more separate headings of several words where all of them are set apart like this.
    wide = [cell for cell in re.split(r"\s{2,}", lines[0].strip()) if cell]
    header = wide if len(wide) > 2 else lines[0].split()
    out = [header]
    for line in lines[1:]:
        words = line.split()
        values = words[max(1, len(words) - len(header) + 1) :]
        out.append([" ".join(words[: len(words) - len(values)]), *values])
    return out


def consistency_text(checks: Sequence[RowCheck], classes: Sequence[str]) -> str:
    """The answer for people: verdict, what is to blame, and the first matrices."""
    lines: list[str] = []
    for check in checks:
        if check.verdict == "reproduced":
            least = "at least " if check.at_least else ""
            plural = "matrix reproduces" if check.n_matrices == 1 else "matrices reproduce"
            lines.append(f"{check.name}: {least}{check.n_matrices} {plural} all {len(check.printed)} printed values.")
        elif check.verdict == "impossible":
            lines.append(f"{check.name}: NO table of whole patients reproduces these values together.")
        else:
            lines.append(f"{check.name}: undecided.")
        for metric, values in check.blame.items():
            shown = ", ".join(values[:12]) + (", ..." if len(values) > 12 else "")
            lines.append(f"  Without {metric} = {check.printed[metric]} the rest fits, and it would be {shown}.")
        if check.note:
            lines.append(f"  {check.note}")
        for matrix in check.matrices[:3]:
            lines += _matrix_lines(matrix, classes)
        if len(check.matrices) > 3:
            lines.append(f"  ... and {len(check.matrices) - 3} more in --format json")
    return "\n".join(lines) + "\n"


def _matrix_lines(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    width = max(len(name) for name in classes)
    cell = max(5, *(len(str(count)) + 1 for row in matrix for count in row))
    head = "".join(f"{name[: cell - 1]:>{cell}}" for name in classes)
    body = [
        f"  {name:<{width}}" + "".join(f"{count:>{cell}}" for count in row)
        for name, row in zip(classes, matrix, strict=True)
    ]
    return [f"  {'reference':<{width}}"[: width + 2] + head, *body, ""]
