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
from reader_study.report.figures import figure_bytes, figure_files, figure_list
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


@pytest.mark.parametrize("key", ["metrics_three", "flow"])
def test_formats_drawn_together_have_the_bytes_that_each_has_alone(result: Document, key: str) -> None:
    together = figure_files(result, key, ["png", "exe", "pdf", "svg"])
    assert together == {kind: figure_bytes(result, key, kind) for kind in ("svg", "pdf", "png")}
    assert figure_files(result, "nothing", ["svg"]) == {}


def test_drawing_ahead_draws_each_figure_once(document: Document, result: Document, monkeypatch: Any) -> None:
    from types import SimpleNamespace

    from reader_study import rendering
    from reader_study.report import figures

    asked: list[tuple[str, tuple[str, ...]]] = []

    def files(_: Document, key: str, kinds: list[str]) -> dict[str, bytes]:
        asked.append((key, tuple(kinds)))
        return {kind: tiny(key) for kind in kinds}

    monkeypatch.setattr(figures, "figure_files", files)
    analysis = SimpleNamespace(inputs=document, result=SimpleNamespace(result_sha256="a" * 64))
    rendering.draw_ahead(analysis, result, lambda: None)  # type: ignore[arg-type]
    assert asked == [(spec.key, ("svg", "png")) for spec in figure_list(result)]
    monkeypatch.setattr(figures, "figure_bytes", lambda *_: pytest.fail("it was drawn ahead"))
    assert rendering.drawn(analysis, result, "flow", "png") == tiny("flow")  # type: ignore[arg-type]
    assert rendering.file_bytes(analysis, "report.pdf", result).startswith(b"%PDF")  # type: ignore[arg-type]
    rendering.draw_ahead(analysis, result, lambda: None)  # type: ignore[arg-type]
    assert all(kinds == () for _, kinds in asked[len(asked) // 2 :]), "nothing is drawn twice"


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
    assert answers["17a"].startswith("In blinded sessions reference, AI result")
    blinded = document | {"evaluators": [e for e in document["evaluators"] if e["arm"] != "ai_assisted"]}
    item = next(row for row in checklist_tables(blinded, result)[0].rows if row["item"] == "17a")
    assert item["answer"].startswith("Reference, AI result")
    assert answers["22"] == "author"  # no justification was entered
    assert answers["12"] == "author"  # readers of a study did not annotate its data
    grras = {row["item"]: row["answer"] for row in tables[3].rows}
    assert "5 years, Haematology" in grras["12"]
