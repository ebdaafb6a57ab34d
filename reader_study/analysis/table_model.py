"""A table of the report: columns, rows of raw values, and how a value is shown and exported.

A cell is a text, a whole number, a float, None, a bool, or an estimate: a mapping with ``estimate``, ``low``, ``high``,
``method``, ``n``, ``level`` and sometimes ``numerator``, ``denominator``, ``se``, ``note``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from leukoweb.statistics.ratings_report import p_text, printed

Kind = Literal["text", "class", "case", "int", "number", "p", "estimate", "bool"]
ESTIMATE_PARTS = ("", "low", "high", "n", "numerator", "denominator", "method", "level", "note")
DASH = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """``digits`` is for the screen only; exports carry ten significant digits."""

    key: str
    title: str
    kind: Kind = "text"
    digits: int = 2

    @property
    def numeric(self) -> bool:
        """Whether the column lines up on the right."""
        return self.kind in ("int", "number", "p", "estimate")


@dataclass(frozen=True, slots=True)
class Table:
    """``mark`` says what the protocol had to say about it; ``stamps`` stand on everything (interim, reconstruction)."""

    key: str
    title: str
    section: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    mark: str = "descriptive"
    notes: tuple[str, ...] = ()
    stamps: tuple[str, ...] = field(default=())
    level: str = ""

    @property
    def marks(self) -> str:
        """All marks in one text, for a column of an export or a caption."""
        return "; ".join((*self.stamps, self.mark))


def cell_text(column: Column, value: Any) -> str:
    """A value as it is printed: two decimals half up, ``-`` where undefined.

    Example
    -------
    >>> cell_text(Column("f1", "F1", "estimate"), {"estimate": 0.625, "low": 0.5, "high": 0.75})
    '0.63 (0.50 to 0.75)'
    """
    main, interval = cell_parts(column, value)
    return f"{main} {interval}" if interval else main


def cell_parts(column: Column, value: Any) -> tuple[str, str]:
    """The number and, apart, its interval in brackets."""
    if column.kind == "estimate":
        if not isinstance(value, Mapping) or value["estimate"] is None:
            return DASH, ""
        main = printed(value["estimate"], column.digits)
        if value.get("low") is None or value.get("high") is None:
            return main, "(no interval)"
        return main, f"({printed(value['low'], column.digits)} to {printed(value['high'], column.digits)})"
    if value is None or value == "":
        return DASH, ""
    if column.kind == "bool":
        return ("yes" if value else "no"), ""
    if column.kind == "p":
        return p_text(float(value)), ""
    if column.kind == "number":
        return printed(float(value), column.digits), ""
    return str(value), ""


def flat_header(table: Table) -> list[str]:
    """Column names of the export: an estimate becomes nine columns."""
    out = []
    for column in table.columns:
        if column.kind == "estimate":
            out += [f"{column.key}_{part}".removesuffix("_") for part in ESTIMATE_PARTS]
        else:
            out.append(column.key)
    return [*out, "marks"]


def flat_rows(table: Table) -> Iterator[list[Any]]:
    """Raw values in the order of ``flat_header``; None where there is nothing."""
    for row in table.rows:
        out: list[Any] = []
        for column in table.columns:
            value = row.get(column.key)
            if column.kind == "estimate":
                found = value if isinstance(value, Mapping) else {}
                out += [found.get(part or "estimate") for part in ESTIMATE_PARTS]
            else:
                out.append(value)
        yield [*out, "; ".join((*table.stamps, row["mark"])) if row.get("mark") else table.marks]


def number_text(value: float) -> str:
    """Ten significant digits, the same on every machine.

    Example
    -------
    >>> number_text(2 / 3), number_text(1.0)
    ('0.6666666667', '1')
    """
    return f"{value:.10g}"


def find(tables: Sequence[Table], key: str) -> Table | None:
    """The table of this key."""
    return next((table for table in tables if table.key == key), None)
