"""Tables as one XLSX workbook whose bytes depend on nothing but the tables."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from leukoweb.statistics.cells import FORMULA_STARTS
from reader_study.analysis.table_model import Table, flat_header, flat_rows

EPOCH = (1980, 1, 1, 0, 0, 0)
FIXED_TIME = b"1980-01-01T00:00:00Z"
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def workbook_bytes(tables: Sequence[Table]) -> bytes:
    """A sheet per table: title and marks, header, rows with every digit, notes."""
    book = Workbook(write_only=True)
    used: set[str] = set()
    for table in tables:
        sheet = book.create_sheet(_sheet_name(table.key, used))
        sheet.append([_cell(sheet, table.title, bold=True)])
        sheet.append([_cell(sheet, f"{table.marks}. Research use only.")])
        sheet.append([])
        _append(sheet, flat_header(table), bold=True)
        for row in flat_rows(table):
            _append(sheet, row)
        for note in table.notes:
            sheet.append([_cell(sheet, note)])
    return _fixed(book)


def rows_workbook(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """One sheet of plain rows."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(name)
    _append(sheet, header, bold=True)
    for row in rows:
        _append(sheet, row)
    return _fixed(book)


def _append(sheet: Any, values: Sequence[Any], *, bold: bool = False) -> None:
    sheet.append([_cell(sheet, value, bold=bold) for value in values])


def _cell(sheet: Any, value: Any, *, bold: bool = False) -> Any:
    """Numbers as numbers; text as text, also where it looks like a formula."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = isinstance(value, str)
    cell = WriteOnlyCell(sheet, value=_ILLEGAL.sub(" ", value) if text else value)
    if text:
        cell.data_type = "s"
        cell.quotePrefix = value.startswith(FORMULA_STARTS)
    if bold:
        cell.font = Font(bold=True)
    return cell


def _sheet_name(key: str, used: set[str]) -> str:
    """At most 31 characters, unique without regard to case."""
    base = re.sub(r"[\[\]:*?/\\]", "-", key)[:31]
    name, number = base, 2
    while name.casefold() in used:
        name = f"{base[:28]}~{number}"
        number += 1
    used.add(name.casefold())
    return name


def _fixed(book: Workbook) -> bytes:
    """The workbook packed again without the time of its making."""
    raw = io.BytesIO()
    book.save(raw)
    out = io.BytesIO()
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            data = source.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", FIXED_TIME, data)
            info = zipfile.ZipInfo(name, date_time=EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            target.writestr(info, data)
    return out.getvalue()
