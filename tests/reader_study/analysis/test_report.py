"""Figures and report: the same bytes twice, marks inside, nothing invented."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from PIL import Image

from reader_study.analysis.run import analyse
from reader_study.analysis.tables import result_tables
from reader_study.report.checklists import CHECKLISTS, checklist_tables
from reader_study.report.document import Picture, report_document
from reader_study.report.figures import figure_bytes, figure_list
from reader_study.report.methods import methods_text
from reader_study.report.page import report_html
from reader_study.report.pdf import report_pdf
from tests.reader_study.analysis.documents import changed

Document = dict[str, Any]


def tiny(key: str) -> bytes:
    """Stands in for a figure: a PNG that differs by key."""
    out = io.BytesIO()
    Image.new("RGB", (40, 20), (zlib.crc32(key.encode()) % 256, 90, 90)).save(out, "PNG")
    return out.getvalue()


def test_figures_show_numbers_that_stand_in_a_table(result: Document) -> None:
    specs = figure_list(result)
    keys = [spec.key for spec in specs]
    assert len(set(keys)) == len(keys)
    wanted = "flow metrics_five f1_three confusion_five kappa_five forest_five comparators_five order times"
    assert set(wanted.split()) <= set(keys)
    assert {spec.table for spec in specs} <= {table.key for table in result_tables(result)}


@pytest.mark.parametrize(
    ("key", "kind"), [("forest_five", "svg"), ("kappa_five", "pdf"), ("metrics_three", "png"), ("flow", "svg")]
)
def test_a_figure_has_the_same_bytes_twice_and_no_date(result: Document, key: str, kind: str) -> None:
    one, two = (figure_bytes(result, key, kind) for _ in range(2))
    assert one is not None
    assert one == two
    assert b"CreationDate" not in one
    assert b"dc:date" not in one


def test_what_is_no_figure_is_none(result: Document) -> None:
    assert figure_bytes(result, "nothing", "svg") is None
    assert figure_bytes(result, "flow", "exe") is None


def test_the_report_is_the_same_twice_and_carries_marks(document: Document) -> None:
    interim = changed(document, "marks", to={"interim": True, "interim_reason": "r", "left_out": []})
    result = analyse(interim, version="0")
    report = report_document(interim, result, tiny)
    assert len([b for b in report.blocks if isinstance(b, Picture)]) == len(figure_list(result))
    page = report_html(report).decode()
    assert page == report_html(report_document(interim, result, tiny)).decode()
    assert "INTERIM" in page
    assert "<script" not in page
    pdf = report_pdf(report)
    assert pdf.startswith(b"%PDF")
    assert pdf == report_pdf(report)


def test_methods_say_what_the_record_says(document: Document, result: Document) -> None:
    text = " ".join(paragraph for _, paragraphs in methods_text(document, result) for paragraph in paragraphs)
    for words in ("20 patients", "P1 read again, 42 days", "left out in the main analysis", "margin: 0.1", "seed 3",
                  "added by amendment 2", "drawn phantoms", "model_1 m 1 (SHA-256 cccccccccccc)"):  # fmt: skip
        assert words in text, words
    assert "imported" not in text.lower()
    imported = changed(document, "evaluators", 2, "imported", to=True)
    assert "for the author to say" in str(methods_text(imported, analyse(imported)))


def test_checklists_fill_what_is_known_and_leave_the_rest_to_the_author(document: Document, result: Document) -> None:
    tables = checklist_tables(document, result)
    assert [len(table.rows) for table in tables] == [48, 52, 44, 15]
    assert [table.title for table in tables] == [title for _, title, _ in CHECKLISTS]
    answers = {row["item"]: row["answer"] for row in tables[0].rows}
    assert answers["38"] == "author"  # funding
    assert answers["17a"].startswith("Reference, AI result")
    assert answers["22"] == "author"  # no justification was entered
    assert "5 years, Haematology" in answers["12"]
