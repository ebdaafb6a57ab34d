"""What the fourth edition says otherwise, on the inputs of the bundle of the third; words of tables and methods."""

from __future__ import annotations

import copy
import json
import lzma
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from reader_study.analysis.cases import changed_cases
from reader_study.analysis.conduct import late_words, replaced_words
from reader_study.analysis.inputs import parse
from reader_study.analysis.run import analyse
from reader_study.analysis.table_model import cell_text, find, flat_rows
from reader_study.analysis.tables import result_tables
from reader_study.report.checklists import checklist_tables
from reader_study.report.figures import figure_list
from reader_study.report.methods import methods_text
from reader_study.verification import read_members
from reader_study.verification_protocol import protocol_differences
from tests.reader_study.analysis.documents import changed, small

Document = dict[str, Any]


def texts(result: Document) -> str:
    return "\n".join(row["text"] for row in result["remarks"])


def test_what_came_after_an_interim_analysis_is_named_also_before_the_unblinding(told: Document) -> None:
    document = changed(told, "study", "unblinded", "at", to="2026-05-01T00:00:00+00:00")
    document["evaluators"][-1] |= {"imported": True, "sealed_at": "2026-02-10T00:00:00+00:00"}
    document["protocol"]["versions"][1]["locked_at"] = "2026-02-03T00:00:00+00:00"
    late = late_words(document)
    assert late.startswith("Later than the first interim analysis on 2026-01-20, so that numbers of the study could be")
    assert f"readings of {document['evaluators'][-1]['name']} (imported on 2026-02-10)" in late
    assert "protocol version 2 (signed on 2026-02-03, which added P9)" in late
    assert "answers of AI (imported on 2026-04-02)" in late
    assert "unblinding" not in late
    (new,) = (c for c in document["protocol"]["versions"][1]["changes"] if c["path"] == "readers.P9")
    new["path"] = "readers.Dr. A"
    assert "which added Dr. A)" in late_words(document), "a name may hold a dot"
    assert late_words(document | {"edition": 3}) == "", "as it was printed"
    document["study"]["unblinded"]["at"] = "2026-03-01T00:00:00+00:00"
    first, second = late_words(document).split(". Later than")
    assert "readings of" in first
    assert "answers of AI" in second


def test_who_took_whose_place_is_said(told: Document) -> None:
    document = copy.deepcopy(told)
    assert list(replaced_words(document)) == []
    next(e for e in document["evaluators"] if e["name"] == "P2")["replaces"] = "P1"
    assert list(replaced_words(document)) == [
        "P2 took the place of P1, whose primary session was sealed all the same: both count, also in the mean of the "
        "readers."
    ]
    next(e for e in document["evaluators"] if e["name"] == "P2")["replaces"] = "P0"
    assert list(replaced_words(document)) == []


@pytest.fixture(scope="module")
def raised() -> tuple[Document, Document]:
    packed = (Path(__file__).parent / "data" / "bundle_edition_3.zip.xz").read_bytes()
    files = read_members(lzma.decompress(packed))
    assert files
    document = json.loads(files["inputs.json"]) | {"edition": 4}
    return document, analyse(document, version="0")


def test_the_first_bundles_of_edition_3_did_not_date_comparators(raised: tuple[Document, Document]) -> None:
    document = copy.deepcopy(raised[0]) | {"edition": 3}
    del document["protocol"]["versions"][1:]
    document["plan"]["since"] = {rule: 1 for rule in document["plan"]["since"] if rule != "ai_comparators"}
    assert not [words for words in protocol_differences(document) if "another since" in words]
    document["plan"]["since"].pop("missing", None)
    assert [words for words in protocol_differences(document) if "another since" in words]


def test_without_a_common_case_there_is_no_p_and_nobody_never_gave_a_class(raised: tuple[Document, Document]) -> None:
    result = raised[1]
    pairs = {(p["a"], p["b"]): p for p in result["levels"]["five"]["paired"]}
    nothing = pairs["AI", "P5"]
    assert nothing["n"] == 0
    assert {nothing[key] for key in ("mcnemar_exact_p", "mcnemar_mid_p", "mcnemar_exact_p_holm")} == {None}
    family = [p for p in pairs.values() if p["kind"] == "ai-reader" and p["primary"] and p["n"]]
    assert len(family) == 3, "Holm's family is of those who can be compared"
    smallest = min(family, key=lambda p: p["mcnemar_exact_p"])
    assert smallest["mcnemar_exact_p_holm"] == pytest.approx(3 * smallest["mcnemar_exact_p"])
    rows = list(flat_rows(find(result_tables(result), "each_five")))  # type: ignore[arg-type]
    assert any(row[:3] == ["AI", "P5", 0] for row in rows)
    assert "Three 1 never gave" not in texts(result)
    assert "Single never gave CML" in texts(result)


def test_one_number_has_one_interval_and_the_note_of_its_own(raised: tuple[Document, Document]) -> None:
    result = raised[1]
    for level in result["levels"].values():
        for row in level["undecided"]:
            for name, item in row["left_out"].items():
                own = level["evaluators"][row["evaluator"]]["accuracy" if name == "accuracy" else f"macro_{name}"]
                assert item == own
    shown = [row["estimate"] for row in result["endpoints"] if row["metric"] == "macro_ppv" and row["estimate"]]
    moved = [item for item in shown if item.get("bootstrap", {}).get("note")]
    assert moved, "a bootstrap that was not estimable stands beside an interval that is"
    assert all(item["low"] is not None and "note" not in item for item in moved)
    given = [item for item in shown if item.get("note")]
    assert {item["note"] for item in given} == {"bootstrap not estimable: the same in all resamples"}
    assert all("bootstrap" not in item for item in given), "it is no bootstrap that is kept there"


def test_a_mean_kappa_counts_the_cases_that_enter_a_pair(raised: tuple[Document, Document]) -> None:
    document, result = raised
    said = {e["name"]: {a["case"] for a in e["answers"] if a["answers"].get("five")} for e in document["evaluators"]}
    readers = [said[name] for name in ("P1-1", "P2", "P4-2", "P5")]
    summary = result["levels"]["five"]["kappa_summary"]
    assert summary["ai-reader"]["mean"]["n"] == len(said["AI"] & set().union(*readers)) == 15
    twice = {code for one, two in combinations(readers, 2) for code in one & two}
    assert summary["reader-reader"]["mean"]["n"] == len(twice) < 20


def test_too_few_days_do_not_read_as_enough(raised: tuple[Document, Document]) -> None:
    assert "P4-2 began 41.9 days after P4-1; the protocol asks for 42." in texts(raised[1])
    table = find(result_tables(raised[1]), "washout")
    assert table
    column = next(c for c in table.columns if c.key == "days")
    assert "41.96" in [cell_text(column, row["days"]) for row in table.rows]


def test_changed_answers_stand_in_the_order_of_the_sessions_and_were_given_twice() -> None:
    document = small(resamples=0)
    one, two = (next(e for e in document["evaluators"] if e["name"] == name) for name in ("P1-1", "P1-2"))
    one["primary"], two["primary"] = False, True
    for rows, said in ((one["answers"], "CML"), (two["answers"], "ALL")):
        rows[0] |= {"answers": {"five": said}, "cannot_decide": False}
    missing = one["answers"].pop()["case"]
    inputs = parse(document)
    found = {row["case"]: row for row in changed_cases(inputs, inputs.levels[0])}
    first = found[one["answers"][0]["case"]]
    assert (first["first"], first["before"], first["second"], first["after"]) == ("P1-1", "CML", "P1-2", "ALL")
    assert first["change"] == "wrong to right"
    assert missing not in found
    old = parse(document | {"edition": 3})
    assert {row["case"]: row for row in changed_cases(old, old.levels[0])}[missing]["first"] == "P1-2"


def test_one_reader_both_ways_has_no_mean_and_it_is_said() -> None:
    document = small(resamples=0)
    for endpoint in document["plan"]["endpoints"]:
        endpoint["role"] = "primary" if endpoint["comparison"] == "with_vs_without_ai" else "secondary"
    assert "and only one reader did: there is no such mean and no statement about non-inf" in texts(analyse(document))


# Words in tables, methods and checklists


def test_the_rule_for_undecided_answers_is_said_where_somebody_has_some(told: Document, told_result: Document) -> None:
    def methods(document: Document) -> str:
        return " ".join(dict(methods_text(document, told_result))["Readers and reading"])

    assert 'could answer "cannot decide"; such answers are counted as wrong in the main analysis' in methods(told)
    closed = changed(told, "protocol", "document", "answers", "cannot_decide", to=False)
    assert "Answers without a class (of AI, " in methods(closed)
    assert "are counted as wrong in the main analysis" in methods(closed)
    none = told_result | {"evaluators": [e | {"n_undecided": 0} for e in told_result["evaluators"]]}
    assert "counted as wrong" not in " ".join(dict(methods_text(closed, none))["Readers and reading"])
    first = told_result["levels"]["five"]
    counted = sum(row["n_undecided"] for row in first["undecided"] if row["evaluator"] in ("AI", "P1-1", "P2"))
    answers = {row["item"]: row["answer"] for row in checklist_tables(told, told_result)[0].rows}
    assert answers["20"].startswith(f"AI and primary sessions, 5 classes: {counted} undecided answers, counted as")


def test_tables_of_agreement_say_what_they_do_with_undecided_answers(told_result: Document) -> None:
    tables = result_tables(told_result)
    for key in ("pairs_five", "kappa_ranges_five", "together_five", "intra_five"):
        table = find(tables, key)
        assert table
        assert any("undecided answers are left out, in endpoints, too." in note for note in table.notes), key
    patterns = find(tables, "discordance_five")
    assert patterns
    assert "undecided" in patterns.notes[0]


def test_the_caption_of_the_forest_plot_names_every_table_that_it_draws_from(told_result: Document) -> None:
    where = {spec.key: spec.where for spec in figure_list(told_result)}
    assert where["forest_five"] == (
        "The numbers stand in the table that follows, those of endpoints in the table of endpoints, those of single "
        "readers in the table of pairs of evaluators."
    )
    assert "table of endpoints" not in where["forest_three"]
    assert where["metrics_five"] == "The numbers stand in the table that follows."
