"""A table of the result in the shape in which its template walks through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reader_study.analysis.table_model import Column, Table, cell_parts

if TYPE_CHECKING:  # pages of tables do not wait for Matplotlib
    from reader_study.report.figures import FigureSpec


@dataclass(frozen=True, slots=True)
class Cell:
    """``kind`` tells the template what to make of the text: a class, a case, an estimate with its interval."""

    text: str
    interval: str
    kind: str
    numeric: bool
    heading: bool
    note: str
    long: bool
    href: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A figure, or a table with its rows."""

    figure: FigureSpec | None
    table: Table | None
    rows: tuple[tuple[Cell, ...], ...]


Link = Callable[[Table, Column, Mapping[str, Any]], str]
"""The address that a cell leads to, or nothing."""


def shown_tables(
    tables: Sequence[Table], figures: Sequence[FigureSpec], levels: Sequence[str], link: Link = lambda *_: ""
) -> list[Block]:
    """Level by level, each figure before the table whose numbers it shows."""
    out: list[Block] = []
    for level in ["", *levels]:
        own = [figure for figure in figures if figure.level == level]
        for table in tables:
            if table.level != level:
                continue
            out += [Block(figure, None, ()) for figure in own if figure.table == table.key]
            out.append(Block(None, table, _rows(table, link)))
    return out


def _rows(table: Table, link: Link) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        tuple(
            _cell(column, row.get(column.key), index == 0, link(table, column, row))
            for index, column in enumerate(table.columns)
        )
        for row in table.rows
    )


def _cell(column: Column, value: Any, heading: bool, href: str) -> Cell:
    text, interval = cell_parts(column, value)
    note = ""
    if column.kind == "estimate" and isinstance(value, dict):
        counts = f"{value['numerator']} of {value['denominator']}" if value.get("denominator") else ""
        note = ", ".join(filter(None, (counts, value.get("method", ""), value.get("note", ""))))
    kind = column.kind if text != "-" else "text"
    return Cell(text, interval, kind, column.numeric, heading, note, len(text) > 40, href if text != "-" else "")
