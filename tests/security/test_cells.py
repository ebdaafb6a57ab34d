"""Twelve beginnings that make a spreadsheet compute, in every writer of tables; negative numbers stay numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "|", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
COMPUTED = [f'{start}HYPERLINK("http://x","y")' for start in STARTS]


def cases_export(text: str) -> str:
    from cases.exporting import Exported, images_csv

    values: dict[str, Any] = dict.fromkeys(Exported.__dataclass_fields__, text)
    return images_csv([Exported(**values)]).decode("utf-8-sig")


def cohort_results(text: str) -> str:
    from cases.exporting import csv_pieces

    return b"".join(csv_pieces(["a", "b"], [[[text, -0.12]]])).decode("utf-8-sig")


def result_export(text: str) -> str:
    from inference.views.csv import csv_response

    return csv_response("x.csv", ["a", "b"], [[text, -0.12]]).content.decode("utf-8-sig")


def study_export(text: str) -> str:
    from reader_study.exports.cells import csv_text

    return csv_text([text, "b"], [[text, -0.12]])


def mrmc_cell(text: str) -> str:
    from reader_study.management.commands.analyse_mrmc import _safe

    out = io.StringIO()
    csv.writer(out).writerow([_safe(text), _safe(-0.12)])
    return out.getvalue()


def ratings_cell(text: str) -> str:
    from leukoweb.statistics.ratings_report import _safe

    out = io.StringIO()
    csv.writer(out).writerow([_safe(text), _safe(-0.12)])
    return out.getvalue()


WRITERS = [cases_export, cohort_results, result_export, study_export, mrmc_cell, ratings_cell]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("text", COMPUTED, ids=[repr(text[0]) for text in COMPUTED])
def test_every_writer_of_tables_makes_formulas_harmless(writer: Any, text: str) -> None:
    rows = list(csv.reader(io.StringIO(writer(text), newline="")))
    found = [cell for row in rows for cell in row if "HYPERLINK" in cell]
    assert found
    assert {cell[0] for cell in found} == {"'"}
    assert {cell[1:] for cell in found} == {text}, "nothing is lost"


@pytest.mark.parametrize("writer", [result_export, study_export, mrmc_cell, ratings_cell])
def test_negative_numbers_stay_numbers(writer: Any) -> None:
    assert any(row[-1] == "-0.12" for row in csv.reader(io.StringIO(writer("AML"))))


@pytest.mark.parametrize("text", COMPUTED, ids=[repr(text[0]) for text in COMPUTED])
def test_cells_of_a_workbook_are_texts(text: str) -> None:
    from openpyxl import Workbook, load_workbook

    from reader_study.exports.workbook import _append

    book = Workbook(write_only=True)
    _append(book.create_sheet("x"), [text, -0.12])
    stream = io.BytesIO()
    book.save(stream)
    first, second = next(load_workbook(io.BytesIO(stream.getvalue())).active.iter_rows())
    assert first.data_type == "s", "never a formula"
    assert first.quotePrefix
    assert (second.value, second.data_type) == (-0.12, "n")


def test_whoever_writes_csv_uses_the_rule() -> None:
    """``csv_spreadsheets`` brings an upload into commas; what it writes is read again and leaves the server nowhere."""
    found = {}
    for folder in ("cases", "inference", "leukoweb", "reader_study"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.name != "csv_spreadsheets.py" and ("csv.writer(" in text or "DictWriter(" in text):
                found[str(path.relative_to(ROOT))] = "safe_cell" in text or "safe_text" in text
    assert len(found) >= 5
    assert all(found.values()), found
