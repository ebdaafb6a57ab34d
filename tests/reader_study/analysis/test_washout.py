"""The washout as it was: measured between sessions, said where it was not kept or is not known."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

import pytest

from reader_study.analysis.run import analyse
from reader_study.analysis.tables import result_tables
from reader_study.report.checklists import checklist_tables
from reader_study.report.methods import methods_text

Document = dict[str, Any]
START = datetime.fromisoformat("2026-03-01T09:00:00+00:00")


def dated(document: Document, days: float | None, *, imported: bool = True) -> Document:
    """P1's sessions an hour long each; the second begins ``days`` after the first has ended, the third 100 later."""
    made = copy.deepcopy(document)
    made["plan"]["levels"], made["plan"]["endpoints"] = made["plan"]["levels"][:1], []
    begun = START
    for number, evaluator in enumerate(made["evaluators"][2:5]):
        evaluator["imported"] = imported
        for place, answer in enumerate(evaluator["answers"]):
            answer["answered_at"] = (begun + timedelta(minutes=3 * place)).isoformat()
        if not imported:
            evaluator["opened_at"] = begun.isoformat()
            evaluator["last_look_at"] = (begun + timedelta(minutes=57)).isoformat()
            evaluator["sealed_at"] = (begun + timedelta(days=7)).isoformat()  # signed a week later, without a look
        pause = (100 if number else days) or 0
        begun += timedelta(minutes=57, days=pause)
    if days is None:
        made["evaluators"][3]["answers"][4]["answered_at"] = None
    return made


def remarks(result: Document) -> list[str]:
    return [row["text"] for row in result["remarks"] if ("P1-2" in row["text"] and "washout" in row["text"])
            or "the protocol asks for" in row["text"]]  # fmt: skip


@pytest.mark.parametrize("imported", [True, False])
@pytest.mark.parametrize(("days", "words"), [(12.5, "P1-2 began 12.5 days after P1-1; the protocol asks for 42"),
                                             (-0.02, "P1-2 began before P1-1 had ended"), (42.0, "")])  # fmt: skip
def test_a_washout_is_measured_and_one_that_is_too_short_is_said(
    document: Document, days: float, words: str, imported: bool
) -> None:
    result = analyse(dated(document, days, imported=imported))
    found = {(row["first"], row["second"]): row["days"] for row in result["washout"]}
    assert found == {("P1-1", "P1-2"): pytest.approx(days), ("P1-2", "P1-3"): pytest.approx(100)}
    assert [text.startswith(words) for text in remarks(result)] == [True] * bool(words)
    table = next(t for t in result_tables(result) if t.key == "washout")
    assert [row["planned"] for row in table.rows] == [42, 42]


def test_a_time_that_is_missing_makes_the_washout_unknown_and_no_text_claims_it(document: Document) -> None:
    made = dated(document, None)
    result = analyse(made)
    assert [row["days"] for row in result["washout"]] == [None, None]
    assert len(remarks(result)) == 2
    text = dict(methods_text(made, result))["Readers and reading"][1]
    assert "washout not known: P1-1 to P1-2, P1-2 to P1-3" in text
    grras = next(t for t in checklist_tables(made, result) if t.key == "checklist_grras")
    assert "washout not known" in next(row["answer"] for row in grras.rows if row["item"] == "9")


def test_methods_name_the_shortest_washout(document: Document) -> None:
    made = dated(document, 45.25)
    text = " ".join(dict(methods_text(made, analyse(made)))["Readers and reading"])
    assert "42 days or more after the first reading by protocol (shortest washout on record 45.2 days (P1-1 to" in text


def test_a_look_from_before_the_opening_is_a_clock_set_back(document: Document) -> None:
    made = dated(document, 12.5, imported=False)
    made["evaluators"][2]["last_look_at"] = "2000-01-01T00:00:00+00:00"
    days = analyse(made)["washout"][0]["days"]
    assert days == pytest.approx(12.5 + 57 / 1440 - 7), "counted from the seal"
