"""One value as a cell of a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from leukoweb.statistics.cells import safe_text
from reader_study.analysis.table_model import number_text


def plain(value: Any) -> str:
    """A cell of a text file: ten significant digits, yes and no, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number_text(value)
    return str(value) if isinstance(value, int) else safe_text(str(value))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with line feeds, cells made safe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe_text(name) for name in header])
    for row in rows:
        writer.writerow([plain(value) for value in row])
    return out.getvalue()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]], *, bom: bool = True) -> bytes:
    """UTF-8, with the mark that Excel needs to read anything but ASCII."""
    return csv_text(header, rows).encode("utf-8-sig" if bom else "utf-8")
