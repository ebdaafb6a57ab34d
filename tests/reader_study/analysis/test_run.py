"""The analysis as a pure function: refusals, determinism, and numbers against independent counting."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from leukoweb.statistics.intervals import proportion
from reader_study.analysis.canonical import canonical_json, rounded, sha256_of
from reader_study.analysis.inputs import InputsRefused, parse
from reader_study.analysis.run import analyse
from reader_study.report.figures import figure_bytes
from reader_study.report.methods import methods_text
from tests.reader_study.analysis.documents import FIVE, changed, small

Document = dict[str, Any]


def refusal(document: Document) -> InputsRefused:
    with pytest.raises(InputsRefused) as caught:
        parse(document)
    return caught.value


def test_an_open_session_is_refused_by_name_unless_interim(document: Document) -> None:
    error = refusal(changed(document, "evaluators", 2, "state", to="open"))
    assert error.code == "E_OPEN_SESSION"
    assert "P1-1" in error.message
    left_out = changed(document, "marks", "left_out", to=["P3"])
    assert "P3" in refusal(left_out).message
    assert parse(changed(left_out, "marks", "interim", to=True)).interim


def test_a_missing_reference_is_refused_with_the_case(document: Document) -> None:
    error = refusal(changed(document, "cases", 4, "reference", to=""))
    assert (error.code, "C004" in error.message, bool(error.hint)) == ("E_NO_REFERENCE", True, True)


def test_a_class_outside_the_protocol_is_refused(document: Document) -> None:
    error = refusal(changed(document, "cases", 4, "reference", to="MDS"))
    assert (error.code, "C004 (MDS)" in error.message) == ("E_CLASS_OUTSIDE", True)
    answers = changed(document, "evaluators", 0, "answers", 3, "answers", to={"five": "MDS"})
    error = refusal(answers)
    assert error.code == "E_CLASS_OUTSIDE"
    assert "AI, case C003: 'MDS'" in error.message


def test_a_reader_without_readings_is_refused(document: Document) -> None:
    error = refusal(changed(document, "evaluators", 5, "answers", to=[]))
    assert (error.code, error.message) == ("E_NO_READINGS", "P2 has no readings.")


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("schema",), "other/1"), (("edition",), 99), (("edition",), "2"), (("cases",), []),
        (("evaluators", 3, "primary"), True),
        (("evaluators", 1, "role"), "ai"), (("evaluators", 1, "name"), "AI"), (("plan", "missing"), "guess"),
        (("evaluators", 0, "answers", 0, "case"), "C999"), (("evaluators", 0, "answers", 0, "cannot_decide"), True),
        (("evaluators", 0, "answers", 0, "case"), "C001"), (("plan", "levels", 1, "map"), {}), (("plan",), None),
        (("cases", 0), {"reference": "AML"}),
    ],
)  # fmt: skip
def test_inputs_that_contradict_themselves_are_refused(document: Document, path: tuple[Any, ...], to: Any) -> None:
    assert refusal(changed(document, *path, to=to)).message


def test_the_same_inputs_give_the_same_result_in_whatever_order_of_keys(document: Document, result: Document) -> None:
    again = json.loads(canonical_json(document))  # keys sorted, as a database may hand them back
    assert canonical_json(analyse(again, version="0")) == canonical_json(result)
    assert sha256_of(again) == sha256_of(document) == result["inputs_sha256"]


def test_another_seed_moves_bootstrap_limits_and_no_estimate(document: Document, result: Document) -> None:
    other = analyse(changed(document, "plan", "seed", to=99), version="0")
    one, two = (r["levels"]["five"]["evaluators"]["AI"]["macro_f1"] for r in (result, other))
    assert one["estimate"] == two["estimate"]
    assert (one["low"], one["high"]) != (two["low"], two["high"])


def test_accuracy_is_the_count_that_anybody_can_make(document: Document, result: Document) -> None:
    truth = {case["code"]: case["reference"] for case in document["cases"]}
    for evaluator in document["evaluators"]:
        decided = [a for a in evaluator["answers"] if not a["cannot_decide"]]
        right = sum(a["answers"]["five"] == truth[a["case"]] for a in decided)
        shown = result["levels"]["five"]["evaluators"][evaluator["name"]]["accuracy"]
        assert (shown["numerator"], shown["denominator"]) == (right, len(decided))
        assert shown["low"] == rounded(proportion(right, len(decided)).low)


def test_sessions_of_one_reader_are_not_pooled(result: Document) -> None:
    level = result["levels"]["five"]
    assert {(p["a"], p["b"]) for p in level["intra_observer"]} == {("P1-1", "P1-2")}
    assert level["design"]["primary_sessions"] == ["P1-1", "P2"]
    assert level["ai_vs_readers"]["accuracy"]["n_readers"] == 2
    assert level["kappa_summary"]["reader-reader"]["n_pairs"] == 1


def test_a_reader_without_a_primary_session_is_shown_alone_and_named(document: Document) -> None:
    """P1's primary session is void; the second one was sealed. Everything else is as if P1 had not read at all."""
    lost = copy.deepcopy(document)
    del lost["evaluators"][2]
    result = analyse(lost)
    level = result["levels"]["five"]
    assert level["evaluators"]["P1-2"]["accuracy"]["low"] is not None
    assert (level["design"]["primary_sessions"], level["intra_observer"], level["arms"]) == (["P2"], [], None)
    assert {name for pair in level["pairwise"] for name in (pair["a"], pair["b"])} == {"AI", "P2"}
    assert "P1-2" in {row["evaluator"] for row in result["sessions"]["order"]}
    texts = [row["text"] for row in result["remarks"]]
    assert sum(text.startswith("P1 has no sealed primary session") and "P1-2, P1-3 are" in text for text in texts) == 1
    without = copy.deepcopy(lost)
    without["evaluators"] = [e for e in lost["evaluators"] if e["reader"] != "P1"]
    alone = analyse(without)
    keys = ("endpoint", "what", "estimate", "p", "verdict")
    rows, others = ([{k: row.get(k) for k in keys} for row in found["endpoints"]] for found in (result, alone))
    assert rows == others
    assert level["discordance"] == alone["levels"]["five"]["discordance"]
    assert figure_bytes(result, "kappa_five", "svg")
    told = dict(methods_text(lost, result))["Readers and reading"]
    assert any(text.startswith("P1 had no sealed primary session") for text in told)


def test_undecided_answers_as_wrong_and_right_bracket_those_left_out(document: Document, result: Document) -> None:
    for row in result["levels"]["five"]["undecided"]:
        n = row["left_out"]["accuracy"]["denominator"]
        assert row["wrong"]["accuracy"]["denominator"] == n + row["n_undecided"]
        assert row["wrong"]["accuracy"]["numerator"] == row["left_out"]["accuracy"]["numerator"]
        assert row["right"]["accuracy"]["numerator"] == row["left_out"]["accuracy"]["numerator"] + row["n_undecided"]
        for metric in ("sensitivity", "f1"):
            values = [row[how][metric]["estimate"] for how in ("wrong", "left_out", "right")]
            assert values == sorted(values), metric


def test_the_rule_wrong_changes_the_endpoints(document: Document) -> None:
    wrong = analyse(changed(document, "plan", "missing", to="wrong"))
    row = next(r for r in wrong["endpoints"] if r["metric"] == "accuracy" and r["what"] == "P1-1")
    assert row["estimate"]["denominator"] == len(document["cases"])
    first = wrong["endpoints"][0]
    assert "Undecided answers are wrong" in first["estimate"]["note"]
    assert first["estimate"]["n"] == len(document["cases"])


def test_endpoints_come_in_order_and_say_when_they_were_added(result: Document) -> None:
    rows = result["endpoints"]
    assert rows[0]["role"] == "primary"
    late = [row for row in rows if not row["prespecified"]]
    assert {row["metric"] for row in late} == {"ai_reader_kappa"}
    assert all("amendment 2" in row["origin"] for row in late)
    assert {row["comparison"] for row in rows} >= {"ai_vs_comparators", "with_vs_without_ai", "ai_vs_each_reader"}
    assert all(row["estimate"] is not None for row in rows)


def test_the_discordance_table_counts_every_case(document: Document, result: Document) -> None:
    found = result["levels"]["five"]["discordance"]
    assert sum(sum(row[k] for k in ("right", "wrong", "none")) for row in found["patterns"]) == len(document["cases"])
    agreed = next(row for row in found["patterns"] if row["readers_right"] == 2)["right"]
    assert len(found["cases"]) == len(document["cases"]) - agreed


def test_words_warn_of_classes_with_few_patients(result: Document) -> None:
    texts = [row["text"] for row in result["remarks"]]
    assert any("Only 4 patients have CLL. Even 4 of 4 right has an interval from 0.40 to 1" in text for text in texts)
    assert any("2 readers" in text for text in texts)


def test_macro_sensitivity_and_ppv_have_the_wider_interval_where_a_class_is_small(result: Document) -> None:
    found = result["levels"]["five"]["evaluators"]["AI"]
    for metric in ("macro_sensitivity", "macro_ppv"):
        assert found[metric]["method"] == "mover"
        assert found[metric]["bootstrap"]["method"].startswith("bootstrap")
    assert found["macro_f1"]["method"].startswith("bootstrap")


def test_a_study_without_ai_and_one_without_readers(document: Document) -> None:
    readers = changed(document, "evaluators", to=document["evaluators"][2:])
    found = analyse(readers)
    assert found["levels"]["five"]["ai_vs_readers"] is None
    assert found["levels"]["five"]["discordance"] is None
    alone = analyse(changed(document, "evaluators", to=document["evaluators"][:2]))
    assert set(alone["levels"]["five"]["evaluators"]) == {"AI", "Single"}
    assert alone["endpoints"][0]["verdict"].startswith("not estimable")


def test_one_level_of_own_classes() -> None:
    document = small(12)
    names = ["BLASTS", "OTHER"]
    classes = {c: names[c == "NO_LEUKEMIA"] for c in FIVE}
    document["plan"]["levels"] = [
        {"name": "custom", "title": "2 classes", "classes": names, "map": {c: c for c in names}, "positive": ["BLASTS"]}
    ]
    for case in document["cases"]:
        case["reference"] = classes[case["reference"]]
    for evaluator in document["evaluators"]:
        for answer in evaluator["answers"]:
            label = answer["answers"].get("five")
            answer["answers"] = {"custom": classes[label]} if label else {}
    result = analyse(document)
    assert list(result["levels"]) == ["custom"]
    assert "binary" in result["levels"]["custom"]["evaluators"]["AI"]


def test_names_that_look_like_columns_do_no_harm(document: Document) -> None:
    renamed = copy.deepcopy(document)
    for evaluator in renamed["evaluators"]:
        if evaluator["name"] == "P2":
            evaluator["name"] = evaluator["reader"] = "reference"
    assert analyse(renamed)["levels"]["five"]["evaluators"]["reference"]["n"] > 0
