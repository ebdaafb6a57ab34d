"""The files that an analysis offers beside its tables and figures: name, title, type, and how they are made. Pure.

What draws or packs is imported when a file is made: the page that lists the files needs none of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reader_study.analysis.inputs import parse
from reader_study.analysis.tables import result_tables
from reader_study.bundle import bundle_bytes
from reader_study.exports import readings

if TYPE_CHECKING:
    from reader_study.report.document import Draw

Document = Mapping[str, Any]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class FileKind:
    """``make`` takes the frozen inputs, the result, and a way to draw a figure as PNG (None: draw it anew)."""

    title: str
    about: str
    content_type: str
    make: Callable[[Document, Document, Draw | None], bytes]


def _tables_xlsx(inputs: Document, result: Document, draw: Draw | None = None) -> bytes:
    from reader_study.exports.workbook import workbook_bytes

    return workbook_bytes(result_tables(result))


def _readings_xlsx(inputs: Document, result: Document, draw: Draw | None = None) -> bytes:
    from reader_study.exports.workbook import rows_workbook

    parsed = parse(inputs)
    return rows_workbook("readings", readings.readings_header(parsed), readings.readings_rows(parsed))


def _readings_json(inputs: Document, result: Document, draw: Draw | None = None) -> bytes:
    parsed = parse(inputs)
    header = readings.readings_header(parsed)
    rows = [dict(zip(header, row, strict=True)) for row in readings.readings_rows(parsed)]
    body = {"research_use_only": True, "marks": result["marks"]["words"], "readings": rows}
    return (json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _report_pdf(inputs: Document, result: Document, draw: Draw | None = None) -> bytes:
    from reader_study.report.document import report_document
    from reader_study.report.pdf import report_pdf

    return report_pdf(report_document(inputs, result, draw))


def _report_html(inputs: Document, result: Document, draw: Draw | None = None) -> bytes:
    from reader_study.report.document import report_document
    from reader_study.report.page import report_html

    return report_html(report_document(inputs, result, draw))


def _pretty(document: Document) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


FILES: dict[str, FileKind] = {
    "report.pdf": FileKind("Report", "methods, tables, figures and checklists", "application/pdf", _report_pdf),
    "report.html": FileKind("Report", "the same as one page", "text/html; charset=utf-8", _report_html),
    "tables.xlsx": FileKind("All tables", "a workbook, one sheet each", XLSX, _tables_xlsx),
    "readings.csv": FileKind("All readings", "one row per answer, with names and case codes",
                             "text/csv; charset=utf-8", lambda i, r, d: readings.readings_csv(parse(i))),
    "readings.xlsx": FileKind("All readings", "the same as a workbook", XLSX, _readings_xlsx),
    "readings.json": FileKind("All readings", "the same as JSON", "application/json", _readings_json),
    "readings.imrmc": FileKind("iMRMC", "list format, primary sessions, positive against the rest",
                               "text/plain; charset=utf-8", lambda i, r, d: readings.imrmc_text(parse(i))),
    "redcap_records.csv": FileKind("REDCap records", "cases and repeating readings", "text/csv; charset=utf-8",
                                   lambda i, r, d: readings.redcap_records(parse(i))),
    "redcap_dictionary.csv": FileKind("REDCap data dictionary", "belongs to the records",
                                      "text/csv; charset=utf-8", lambda i, r, d: readings.redcap_dictionary(parse(i))),
    "results.json": FileKind("Results", "everything that was computed", "application/json", lambda i, r, d: _pretty(r)),
    "inputs.json": FileKind("Inputs", "everything that was used", "application/json", lambda i, r, d: _pretty(i)),
    "bundle.zip": FileKind("Bundle", "checks itself: manage.py verify_bundle", "application/zip",
                           lambda i, r, d: bundle_bytes(i, r)),
}  # fmt: skip
