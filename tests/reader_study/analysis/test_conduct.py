"""What happened around the answers is said: looks, void sessions, an early stop, withdrawals, amended rules, late data.

One document holds all of it, so that the tests share one analysis.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from reader_study.analysis.conduct import UNADJUSTED, amended_rules, late_words
from reader_study.analysis.inputs import InputsRefused, parse
from reader_study.analysis.plan import plan_of
from reader_study.analysis.run import analyse
from reader_study.analysis.table_model import find, flat_rows
from reader_study.analysis.tables import result_tables
from reader_study.bundle import predictions_csv
from reader_study.exports import readings
from reader_study.report import figures_accuracy, figures_comparison, figures_study
from reader_study.report.checklists import checklist_tables
from reader_study.report.figures import figure_list
from reader_study.report.figures_comparison import forest_rows
from reader_study.report.methods import methods_text
from reader_study.report.style import drawing, settle
from tests.reader_study import factories
from tests.reader_study.analysis.documents import LATER, SOME_AT_THREE, changed

Document = dict[str, Any]


def texts(result: Document) -> str:
    return "\n".join(row["text"] for row in result["remarks"])


# An AI that is undecided at one level


def test_an_empty_cell_is_undecided_at_its_level_alone(told: Document, told_result: Document) -> None:
    by_name = {level: {row["evaluator"]: row for row in told_result["levels"][level]["undecided"]}
               for level in ("five", "three")}  # fmt: skip
    assert by_name["five"]["Outside 1"]["n_undecided"] == len(SOME_AT_THREE)
    assert by_name["five"]["Outside 1"]["n_unread"] == 0
    assert "Outside 1" not in by_name["three"]
    about = next(e for e in told_result["evaluators"] if e["name"] == "Outside 1")
    assert about["n_undecided"] == len(SOME_AT_THREE)
    row = next(r for r in told_result["endpoints"] if (r["metric"], r["what"]) == ("accuracy", "AI"))
    assert row["estimate"]["denominator"] == len(told["cases"]), "undecided answers are wrong, as the protocol says"
    records = readings.redcap_records(parse(told)).decode().splitlines()
    header = records[0].split(",")
    name, cannot = header.index("evaluator"), header.index("cannot_decide")
    assert sum(line.split(",")[name] == "3" and line.split(",")[cannot] == "1" for line in records) == 5
    for data in (readings.readings_csv(parse(told), bom=False), predictions_csv(parse(told))):
        rows = [r for r in csv.DictReader(io.StringIO(data.decode())) if r["evaluator"] == "Outside 1"]
        for level, count in (("five", len(SOME_AT_THREE)), ("three", 0)):
            assert sum(r[f"undecided_{level}"] == "yes" for r in rows) == count
            assert sum(r[f"undecided_{level}"] == "no" for r in rows) == len(rows) - count
    second = parse(told | {"edition": 2})
    assert "undecided_five" not in readings.readings_header(second)
    assert b"undecided_" not in predictions_csv(second)


def test_a_file_without_a_column_says_nothing_at_that_level(told: Document) -> None:
    """Three classes alone: at five no answer and none that is undecided; at three an empty cell is."""
    document = changed(told, "plan", "resamples", to=0)
    row = document["evaluators"][2] | {"levels": ["three"]}
    for index, answer in enumerate(row["answers"]):
        answer["answers"].pop("five", None)
        if index == 1:
            answer |= {"answers": {}, "cannot_decide": True}
    document["evaluators"][2] = row
    inputs = parse(document)
    five, three = inputs.levels
    assert not inputs.any_undecided([inputs.evaluators[2]], five)
    assert inputs.any_undecided([inputs.evaluators[2]], three)
    with pytest.raises(InputsRefused, match="no level"):
        parse(changed(told, "evaluators", 2, "levels", to=["seven"]))


def test_the_second_edition_let_one_level_decide_them_all(told: Document) -> None:
    inputs = parse(told | {"edition": 2})
    assert not inputs.any_undecided([inputs.evaluators[2]], inputs.levels[0])


# One estimate, one interval


def test_a_single_evaluator_has_one_interval_wherever_it_stands(told_result: Document) -> None:
    level = told_result["levels"]["five"]
    own = level["evaluators"]["P1-1"]["macro_ppv"]
    undecided = next(row for row in level["undecided"] if row["evaluator"] == "P1-1")["left_out"]["ppv"]
    assert own["method"] == undecided["method"] == "mover"
    assert [undecided[k] for k in ("estimate", "low", "high")] == [own[k] for k in ("estimate", "low", "high")]
    pairs = level["comparators"] + level["arms"]["pairs"]
    assert pairs
    for item in (pair["metrics"][metric] for pair in pairs for metric in ("ppv", "sensitivity")):
        assert (item["first"]["method"], item["second"]["method"]) == ("mover", "mover")
        assert item["first"]["bootstrap"]["method"].startswith("bootstrap")
        assert item["difference"]["method"].startswith("bootstrap")
    tables = result_tables(told_result)
    for key in ("comparators_five", "arms_five"):
        assert "differences within pairs keep the bootstrap" in " ".join(find(tables, key).notes)  # type: ignore[union-attr]


# Numbers that leave cases out


def test_what_the_comparison_with_readers_leaves_out_is_counted(told: Document, told_result: Document) -> None:
    table = find(result_tables(told_result), "ai_readers_five")
    assert table is not None
    row = next(row for row in table.rows if row["metric"] == "Accuracy")
    assert row["dropped"] > 0
    assert row["n"] + row["dropped"] == len(told["cases"])
    assert f"{row['dropped']} are left out" in " ".join(table.notes)
    for metric, among in (("Sensitivity", 16), ("Specificity", 4)):  # the positive patients, and the others
        own = next(r for r in table.rows if r["metric"].startswith(f"{metric}, "))
        assert own["n"] + own["dropped"] == among
        assert own["difference"].get("n_dropped", 0) == own["dropped"] < row["dropped"]
    assert f"AI against readers: {row['dropped']} of 20 cases are left out" in texts(told_result)
    document = changed(told, "plan", "missing", to="exclude")
    document["plan"]["resamples"] = 0
    result = analyse(document)
    estimate = result["endpoints"][0]["estimate"]
    assert estimate["n"] + estimate["n_dropped"] == 20
    assert "left out, not answered by all" in estimate["note"]
    assert "No. 1, AI minus the readers' mean: on the" in " ".join(find(result_tables(result), "endpoints").notes)  # type: ignore[union-attr]
    assert "Endpoint 1, AI minus the readers' mean" in str(methods_text(document, result))


def test_the_forest_plot_draws_the_endpoints(told_result: Document) -> None:
    """Undecided answers are wrong in an endpoint and left out elsewhere, so the two differ here."""
    level = told_result["levels"]["five"]
    rows = {name: item["estimate"] for name, item, _ in forest_rows(told_result, level)}
    endpoints = {(r["metric"], r["what"]): r["estimate"]["estimate"] for r in told_result["endpoints"] if r["estimate"]}
    assert rows["Macro F1 (endpoint)"] == endpoints["macro_f1", "AI minus the readers' mean"]
    assert rows["Accuracy (endpoint)"] != level["ai_vs_readers"]["accuracy"]["difference"]
    assert rows["Accuracy, minus P2 (endpoint)"] == endpoints["accuracy", "AI minus P2"]
    assert rows["Macro PPV"] == level["ai_vs_readers"]["macro_ppv"]["difference"]
    three = [name for name, *_ in forest_rows(told_result, told_result["levels"]["three"])]
    assert not any("endpoint" in name for name in three)
    specs = {spec.key: spec for spec in figure_list(told_result)}
    assert "endpoints count undecided answers as wrong" in specs["forest_five"].note
    assert "left out here" in specs["metrics_five"].note
    assert specs["kappa_five"].note == ""


# Marks


def test_tables_that_hold_an_endpoint_are_marked_as_such(document: Document, result: Document) -> None:
    tables = {table.key: table for table in result_tables(result)}
    for key, words in {
        "each_five": "Accuracy", "comparators_five": "Accuracy", "arms_five": "Accuracy", "metrics_five": "Accuracy",
        "ai_readers_five": "Macro F1", "intra_five": "Kappa within a reader",
        "kappa_ranges_five": "Kappa between readers",
        "pairs_five": "Kappa between readers, Kappa within a reader",
    }.items():  # fmt: skip
        assert tables[key].mark == f"exploratory except {words} (pre-specified)", key
        assert next(flat_rows(tables[key]))[-1].endswith("(pre-specified)")
    assert tables["each_three"].mark == tables["classes_five"].mark == "exploratory"
    marks = {(row["first"], row["second"]): row.get("mark") for row in tables["each_five"].rows}
    assert marks["AI", "P1-1"] is marks["AI", "P2"] is None
    assert marks["AI", "P1-2"] == marks["P1-1", "P2"] == "exploratory"
    assert {row["evaluator"] for row in tables["metrics_five"].rows if not row.get("mark")} == {"AI", "P1-1", "P2"}
    forest = next(spec for spec in figure_list(result) if spec.key == "forest_five")
    assert forest.marks.endswith("exploratory except Accuracy, Macro F1 (pre-specified)")


def test_a_comparison_that_nobody_named_marks_nothing(document: Document) -> None:
    """Macro PPV of each evaluator was named, so the table of AI minus readers holds no endpoint."""
    document = changed(document, "plan", "endpoints", to=[
        {"metric": "macro_ppv", "role": "primary", "comparison": "none", "since_version": 1}])  # fmt: skip
    document["plan"]["resamples"] = 0
    result = analyse(document)
    tables = {table.key: table.mark for table in result_tables(result)}
    assert tables["ai_readers_five"] == "exploratory"
    assert tables["metrics_five"] == "exploratory except Macro PPV (pre-specified)"
    assert "pre-specified" not in next(s for s in figure_list(result) if s.key == "forest_five").marks


def test_other_numbers_than_those_of_the_endpoints_are_not_pre_specified(told_result: Document) -> None:
    tables = {table.key: table for table in result_tables(told_result)}
    for key in ("metrics_five", "ai_readers_five", "each_five"):
        assert tables[key].mark == "exploratory", key
    for key in ("classes_five", "positive_five", "subgroups_five", "order", "recognised"):
        assert "left out here; the endpoints count them as wrong" in " ".join(tables[key].notes), key


def test_who_is_undecided_outside_the_endpoints_takes_no_mark_away(document: Document) -> None:
    """A comparator and a second session are undecided: the numbers of the AI and of primary sessions are the same."""
    document = changed(document, "plan", "missing", to="wrong")
    document["plan"]["resamples"] = 0
    truth = {case["code"]: case["reference"] for case in document["cases"]}
    for e in document["evaluators"]:
        for row in e["answers"]:
            if e["name"] in ("AI", "P1-1", "P2") and row["cannot_decide"]:
                row |= {"answers": {"five": truth[row["case"]]}, "cannot_decide": False}
    for index in (1, 3):
        document["evaluators"][index]["answers"][0] |= {"answers": {}, "cannot_decide": True}
    result = analyse(document)
    assert {"Single", "P1-2"} <= {row["evaluator"] for row in result["levels"]["five"]["undecided"]}
    tables = {table.key: table for table in result_tables(result)}
    for key in ("metrics_five", "each_five"):
        assert tables[key].mark == "exploratory except Accuracy (pre-specified)", key
        assert "left out here" in " ".join(tables[key].notes)
    assert tables["ai_readers_five"].mark == "exploratory except Macro F1 (pre-specified)"


def test_a_comparator_that_the_protocol_does_not_name_is_exploratory(told: Document, told_result: Document) -> None:
    rows = {row["what"]: row for row in told_result["endpoints"] if row["comparison"] == "ai_vs_comparators"}
    assert rows["AI minus Single"]["prespecified"]
    outside = rows["AI minus Outside 1"]
    assert (outside["prespecified"], outside["origin"]) == (False, "not in the protocol")
    tables = result_tables(told_result)
    listed = find(tables, "endpoints")
    assert [r["mark"] for r in listed.rows if r["what"] == "AI minus Outside 1"] == ["exploratory"]  # type: ignore[union-attr]
    table = find(tables, "comparators_five")
    assert table is not None
    marks = {row["second"]: row.get("mark") for row in table.rows}
    assert marks == {"Single": None, "Outside 1": "exploratory, not in the protocol"}
    assert "Not in the protocol, so exploratory: Outside 1." in table.notes
    assert next(flat_rows(table))[-1].endswith("(pre-specified)")
    about = {row["name"]: row["kind"] for row in find(tables, "evaluators").rows}  # type: ignore[union-attr]
    assert about["Outside 1"] == "comparator, not in the protocol, imported"
    assert "a comparator that the protocol does not name" in " ".join(dict(methods_text(told, told_result))["AI"])
    with drawing():
        figure = figures_comparison.comparators(told_result, told_result["levels"]["five"])
    titles = [ax.get_title(loc="left") for ax in figure.axes[1::2]]
    assert sorted(titles) == ["AI minus Outside 1, not in the protocol", "AI minus Single"]


# Amendments


def test_a_rule_by_amendment_is_not_from_version_one(told: Document, told_result: Document) -> None:
    first, *others = told_result["endpoints"]
    assert first["origin"] == "protocol version 1; margin by amendment 2"
    assert not first["prespecified"]
    assert all(row["prespecified"] for row in others if row["origin"] == "protocol version 1")
    table = find(result_tables(told_result), "endpoints")
    assert table is not None
    assert table.rows[0]["mark"] == "pre-specified but for margin by amendment 2"
    assert table.mark == "pre-specified save where the origin says otherwise"
    assert {row["mark"] for row in table.rows} >= {"pre-specified", "exploratory"}
    said = dict(methods_text(told, told_result))
    assert "Non-inferiority margin: 0.1, set by amendment 2." in said["Endpoints"]
    changes = " ".join(said["Changes after the lock"])
    assert "Changed: non_inferiority_margin from 0.05 to 0.1; readers.P9 added." in changes
    assert "secret" not in changes
    assert "Changed after the lock: margin by amendment 2" in texts(told_result)


def test_a_margin_concerns_whoever_prints_it_and_whoever_lost_it(told: Document, told_result: Document) -> None:
    def rows(result: Document) -> dict[str, Document]:
        return {r["role"]: r for r in result["endpoints"] if r["comparison"] == "ai_vs_reader_mean"}

    assert rows(told_result)["secondary"]["origin"] == "protocol version 1; margin by amendment 2"
    document = changed(told, "plan", "margin", to=None)
    document["plan"]["resamples"] = 0
    result = analyse(document)
    primary, secondary = rows(result)["primary"], rows(result)["secondary"]
    assert primary["origin"] == "protocol version 1; margin taken out by amendment 2"
    assert not primary["prespecified"]
    assert secondary["prespecified"], "its numbers rest on no margin"
    assert "The margin was taken out by amendment 2." in dict(methods_text(document, result))["Endpoints"]
    assert "Changed after the lock: margin taken out by amendment 2." in texts(result)


def test_the_plan_says_since_which_version_each_rule_stands() -> None:
    one = factories.document()
    two = factories.document(non_inferiority_margin=0.1, analysis=one["analysis"] | {"missing": "wrong"})
    three = factories.document(non_inferiority_margin=0.1, ai={"primary": {"name": "x", "version": "1"},
                                                               "comparators": []})  # fmt: skip
    assert set(plan_of([one])["since"].values()) == {1}
    since = plan_of([one, two, three])["since"]
    assert since == {
        "margin": 2, "missing": 3, "level": 1, "primary_session": 1, "ai_primary": 3, "ai_comparators": 1,
    }  # fmt: skip
    assert amended_rules({"since": since}, {"margin", "ai_primary"}) == [
        "margin by amendment 2", "AI under test by amendment 3",
    ]  # fmt: skip


def test_an_endpoint_that_was_taken_out_and_put_back_stands_since_then() -> None:
    first, other = (
        {"metric": metric, "role": "secondary", "comparison": "none"} for metric in ("accuracy", "macro_f1")
    )
    plan = plan_of([factories.document(endpoints=found) for found in ([first, other], [other], [other, first])])
    assert [(e["metric"], e["since_version"]) for e in plan["endpoints"]] == [("macro_f1", 1), ("accuracy", 3)]


# The course of the study


def test_looks_before_the_unblinding_are_named(told: Document, told_result: Document) -> None:
    words = f"Interim analyses before the unblinding: 2026-01-20 (a question of safety). {UNADJUSTED}"
    assert words in texts(told_result)
    assert words in dict(methods_text(told, told_result))["Changes after the lock"]


def test_void_sessions_and_the_stop_are_named(told: Document, told_result: Document) -> None:
    reading = " ".join(dict(methods_text(told, told_result))["Readers and reading"])
    for text in (texts(told_result), reading):
        assert "Void and in no table: P2 session 2; P3 session 1 (left the house)." in text
        assert "No session of P3 is left: this reader is in no table." in text
    assert "The study was stopped early on 2026-02-01: no money." in texts(told_result)
    assert "stopped early on 2026-02-01" in str(methods_text(told, told_result))


def test_withdrawn_patients_and_what_came_late_are_named(told: Document, told_result: Document) -> None:
    code = told["cases"][5]["code"]
    assert "1 case left the analysis, for the patient was withdrawn" in texts(told_result)
    assert f"Single has no answer on 1 case of withdrawn patients ({code})" in texts(told_result)
    late = late_words(told)
    assert late.startswith("Later than the unblinding on 2026-03-01")
    assert "answers of AI (imported on 2026-04-02)" in late
    assert f"the reference of 1 case ({code})" in late
    assert late in texts(told_result)
    unseen = told | {"audit": []}
    assert late_words(unseen) == late
    assert late_words(changed(unseen, "study", "unblinded", "at", to=LATER)) == ""
    assert late_words(changed(unseen, "study", "unblinded", to=None)) == ""


def test_who_saw_the_ai_result_is_said(told: Document, told_result: Document) -> None:
    reading = " ".join(dict(methods_text(told, told_result))["Readers and reading"])
    assert "In blinded sessions readers saw neither reference nor AI result" in reading
    assert "in P1-3 they saw the AI result by design" in reading
    answers = {row["item"]: row["answer"] for row in checklist_tables(told, told_result)[0].rows}
    assert answers["17a"].startswith("In blinded sessions reference, AI result")
    assert "P1-3 showed the AI result" in answers["17a"]


def test_an_interim_analysis_tells_sessions_from_ai_and_counts_what_its_table_counts(told: Document) -> None:
    document = changed(told, "marks", to={"interim": True, "interim_reason": "r", "left_out": ["P3"],
                                          "without_answers": ["Other 1"]})  # fmt: skip
    document["plan"]["resamples"] = 0
    result = analyse(document)
    assert "Sessions that are not sealed are left out: P3. AI without any answer is left out: Other 1." in texts(result)
    assert sum(row["n_recognised"] for row in result["sessions"]["recognised"]) == next(
        int(row["text"].split()[0]) for row in result["remarks"] if "that the reader recognised" in row["text"]
    )


# Figures


def test_a_class_has_as_many_patients_as_the_study_has(told: Document, told_result: Document) -> None:
    """The AI is undecided on some, and these are patients all the same."""
    with drawing():
        figure = figures_accuracy.class_f1(told_result, told_result["levels"]["five"])
    assert {ax.get_title(loc="left").split("\n")[1] for ax in figure.axes} == {"n = 4"}


def test_the_boxes_of_the_flow_hold_their_text_and_are_whole(told_result: Document) -> None:
    why = "a reason that was written by somebody who wanted to be very sure that everybody understands it at once"
    steps = [{"step": "Patients in the cohort", "n": 40}, {"step": "Withdrawn", "n": 3, "why": why},
             {"step": "Not chosen", "n": 17, "why": why}, {"step": "Cases of the study", "n": 20},
             {"step": "Read in every primary session", "n": 20}, {"step": "Undecided", "n": 2, "why": why}]  # fmt: skip
    with drawing():
        figure = figures_study.flow({"flow": {"steps": steps}}, {})
        settle(figure)
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        ax = figure.axes[0]
        boxes = [patch.get_window_extent(renderer) for patch in ax.patches]
        whole = figure.bbox
        for box in boxes:
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1
            assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        held = [text.get_window_extent(renderer) for text in ax.texts if text.get_text()]
        assert len(held) == len(boxes) == 5
        for text in held:
            assert any(b.x0 < text.x0 and text.x1 < b.x1 and b.y0 < text.y0 and text.y1 < b.y1 for b in boxes)


def test_the_legend_of_the_order_lies_beside_the_points(told_result: Document) -> None:
    with drawing():
        figure = figures_study.order(told_result, {})
        settle(figure)
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        legend = figure.legends[0].get_window_extent(renderer)
        assert not legend.overlaps(figure.axes[0].get_window_extent(renderer))
