"""The truth table of the rules, and what must hold for any slide."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.pipeline.classes import COLLAPSE_5_TO_3, DIAGNOSES_3, DIAGNOSES_5, MODEL_1, MODEL_2, MODEL_3
from inference.pipeline.errors import NoImages, ProbabilitiesInvalid, SlotNotRun
from inference.pipeline.hierarchy import (
    BELOW_MINIMUM,
    RULE_SETS,
    TIE,
    RuleSet,
    SubtypeVote,
    Threshold,
    decide,
    slots_needed,
)
from tests.inference.pipeline.tables import rows, slide

FIG1, FIG2, MAJORITY = (RULE_SETS[name] for name in ("paper-fig1", "paper-fig2", "single-model-majority"))


@pytest.mark.parametrize("rule_set", [FIG1, FIG2])
def test_no_leukemia_at_model_1_wins_over_models_2_and_3(rule_set: RuleSet) -> None:
    decision = decide(rule_set, **slide(["NO_LEUKEMIA"] * 4, ["CHRONIC"] * 4, ["CML"] * 4))
    assert decision.diagnosis == decision.diagnosis_3 == "NO_LEUKEMIA"
    assert decision.diagnosis_5 == ("NO_LEUKEMIA" if rule_set is FIG2 else None)
    assert [step["step"] for step in decision.trace] == ["gate"]
    assert decision.trace[0]["images"] == []


def test_one_leukemia_image_none_chronic_is_acute() -> None:
    decision = decide(FIG1, **slide(["LEUKEMIA", "NO_LEUKEMIA", "NO_LEUKEMIA"], ["ACUTE"] * 3))
    assert (decision.diagnosis, decision.diagnosis_3, decision.diagnosis_5) == ("ACUTE", "ACUTE", None)


@pytest.mark.parametrize("label", ["NO_LEUKEMIA", "REACTIVE"])
def test_model_2_calling_nothing_leukemic_is_still_acute(label: str) -> None:
    decision = decide(FIG1, **slide(["LEUKEMIA"] * 3, [label] * 3))
    assert decision.diagnosis == "ACUTE"
    assert decision.trace[1]["images"] == []


def test_one_chronic_among_149_acute_is_chronic_and_that_image_decided() -> None:
    two = ["ACUTE"] * 149 + ["CHRONIC"]
    decision = decide(FIG1, **slide(["LEUKEMIA"] * 150, two))
    assert decision.diagnosis == "CHRONIC"
    assert decision.trace[1]["images"] == [149]


def test_branch_without_a_subtype_vote_goes_to_the_larger_summed_probability() -> None:
    p3 = np.tile([0.10, 0.15, 0.05, 0.60, 0.10], (3, 1))
    decision = decide(FIG2, **slide(["LEUKEMIA"] * 3, ["ACUTE"] * 3) | {"model_3": p3})
    assert decision.diagnosis_5 == "AML"
    assert decision.trace[2]["tie"] == "probability"
    assert decision.trace[2]["sums"]["AML"] == pytest.approx(0.45, abs=1e-15)
    assert TIE in decision.flags


def test_two_against_two_goes_to_the_larger_summed_probability() -> None:
    p3 = np.vstack([rows(MODEL_3, ["ALL"] * 2, 0.8), rows(MODEL_3, ["AML"] * 2, 0.9)])
    decision = decide(FIG2, **slide(["LEUKEMIA"] * 4, ["ACUTE"] * 4) | {"model_3": p3})
    assert decision.diagnosis_5 == "AML"
    assert decision.trace[2]["tie"] == "probability"


def test_equal_sums_go_to_the_first_in_class_order_and_say_tie() -> None:
    decision = decide(FIG2, **slide(["LEUKEMIA"] * 4, ["CHRONIC"] * 4, ["CML", "CLL"] * 2))
    assert decision.diagnosis_5 == "CLL"
    assert decision.trace[2]["tie"] == "class_order"
    assert TIE in decision.flags


def test_sums_closer_than_the_tolerance_are_a_tie() -> None:
    p3 = np.array([[0.4, 0.4 + 4e-13, 0.1, 0.0, 0.1 - 4e-13], [0.5, 0.3, 0.1, 0.0, 0.1]])
    p3[1] = [0.4 + 0.0, 0.4, 0.1, 0.0, 0.1]
    p3[0, 0] = 0.4  # one vote each at most; the sums differ by 4e-13
    decision = decide(FIG2, **slide(["LEUKEMIA"] * 2, ["ACUTE"] * 2) | {"model_3": p3})
    assert decision.trace[2]["tie"] == "class_order"
    assert decision.diagnosis_5 == "ALL"


@pytest.mark.parametrize("empty", [np.zeros((0, 2)), [], np.zeros((0,))])
def test_zero_images_raise_with_a_clear_message(empty: object) -> None:
    with pytest.raises(NoImages, match="no images"):
        decide(FIG2, model_1=empty, model_2=empty, model_3=empty)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "flagged"), [(1, True), (2, True), (3, False)])
def test_fewer_than_three_images_are_predicted_but_flagged(n: int, flagged: bool) -> None:
    decision = decide(FIG2, **slide(["NO_LEUKEMIA"] * n))
    assert decision.diagnosis == "NO_LEUKEMIA"
    assert (BELOW_MINIMUM in decision.flags) is flagged


def test_a_model_that_was_not_run_is_not_negative() -> None:
    with pytest.raises(SlotNotRun, match="model_2"):
        decide(FIG2, **slide(["LEUKEMIA"] * 3))
    assert decide(FIG2, **slide(["NO_LEUKEMIA"] * 3)).diagnosis == "NO_LEUKEMIA"


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (DIAGNOSES_5, ["AML", "AML", "CLL"], ("AML", "ACUTE", "AML")),
        (DIAGNOSES_5, ["NO_LEUKEMIA", "NO_LEUKEMIA", "CLL"], ("NO_LEUKEMIA", "NO_LEUKEMIA", "NO_LEUKEMIA")),
        (DIAGNOSES_3, ["CHRONIC", "CHRONIC", "ACUTE"], ("CHRONIC", "CHRONIC", None)),
        (DIAGNOSES_3[::-1], ["CHRONIC", "ACUTE"], ("ACUTE", "ACUTE", None)),  # tie: class order, not column
    ],
)
def test_single_model_majority(
    names: tuple[str, ...], labels: list[str], expected: tuple[str, str, str | None]
) -> None:
    decision = decide(MAJORITY, single_model=rows(names, labels), classes=names)
    assert (decision.diagnosis, decision.diagnosis_3, decision.diagnosis_5) == expected


@pytest.mark.parametrize("names", [None, ["A", "B"], ["ALL", "ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"]])
def test_single_model_refuses_other_classes(names: list[str] | None) -> None:
    with pytest.raises(ProbabilitiesInvalid):
        decide(MAJORITY, single_model=np.full((2, 2), 0.5), classes=names)


@pytest.mark.parametrize(
    "model_1",
    [
        [[2.0, -1.0]],  # sums to 1 but is no probability
        [[3.1, 0.2]],
        [[float("nan"), 0.5]],
        [[0.2, 0.3, 0.5]],
        [0.5, 0.5],
        [[0.5, 0.5], [1.0]],
        "text",
    ],
)
def test_what_is_not_probabilities_is_refused(model_1: object) -> None:
    with pytest.raises(ProbabilitiesInvalid):
        decide(FIG1, model_1=model_1, model_2=[[1, 0, 0, 0]])  # type: ignore[arg-type]


def test_different_numbers_of_images_are_refused() -> None:
    with pytest.raises(ProbabilitiesInvalid, match="2 images"):
        decide(FIG1, **slide(["LEUKEMIA"] * 3, ["ACUTE"] * 2))


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Threshold("count", 2), "ACUTE"),
        (Threshold("count", 3), "NO_LEUKEMIA"),
        (Threshold("fraction", 0.2), "ACUTE"),  # exactly 2 of 10
        (Threshold("fraction", 0.21), "NO_LEUKEMIA"),
        (Threshold("probability", 2.6), "ACUTE"),  # 2 * 0.9 + 8 * 0.1 exactly
        (Threshold("probability", 2.61), "NO_LEUKEMIA"),
    ],
)
def test_gate_thresholds(gate: Threshold, expected: str) -> None:
    rule_set = RuleSet("custom", gate=gate, branch=Threshold())
    labels = ["LEUKEMIA"] * 2 + ["NO_LEUKEMIA"] * 8
    assert decide(rule_set, **slide(labels, ["ACUTE"] * 10)).diagnosis == expected


def test_leukemia_voters_leave_out_the_other_images() -> None:
    one, two = ["LEUKEMIA", "LEUKEMIA", "NO_LEUKEMIA"], ["ACUTE", "ACUTE", "CHRONIC"]
    three = ["AML", "AML", "CML"]
    only = RuleSet(
        "custom",
        gate=Threshold(),
        branch=Threshold(voters="leukemia"),
        subtype=SubtypeVote("probability", "leukemia"),
    )
    assert decide(FIG2, **slide(one, two, three)).diagnosis_5 == "CML"
    decision = decide(only, **slide(one, two, three))
    assert decision.diagnosis_5 == "AML"
    assert decision.trace[1]["n_voters"] == 2


def test_no_leukemia_voter_falls_back_to_all_images_and_says_so() -> None:
    rule_set = RuleSet("custom", gate=Threshold("probability", 0.5), branch=Threshold("fraction", 0.5, "leukemia"))
    p1 = np.tile([0.4, 0.6], (3, 1))
    decision = decide(rule_set, model_1=p1, model_2=rows(MODEL_2, ["CHRONIC"] * 3))
    assert decision.diagnosis == "CHRONIC"
    assert decision.trace[1]["voters_fallback"] is True
    assert decision.trace[0]["images"] == [0, 1, 2]


def test_slots_needed_skips_what_the_gate_makes_needless() -> None:
    assert slots_needed(FIG2) == ("model_1",)
    assert slots_needed(FIG2, rows(MODEL_1, ["NO_LEUKEMIA"] * 3)) == ()
    assert slots_needed(FIG2, rows(MODEL_1, ["LEUKEMIA"])) == ("model_2", "model_3")
    assert slots_needed(FIG1, rows(MODEL_1, ["LEUKEMIA"])) == ("model_2",)
    assert slots_needed(MAJORITY) == ("single_model",)


def probabilities(n_images: int, names: tuple[str, ...]) -> st.SearchStrategy[NDArray[np.float64]]:
    weight = st.floats(0.01, 1, allow_nan=False)
    row = st.lists(weight, min_size=len(names), max_size=len(names)).map(lambda r: [w / sum(r) for w in r])
    return st.lists(row, min_size=n_images, max_size=n_images).map(np.array)


slides = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*(probabilities(n, names) for names in (MODEL_1, MODEL_2, MODEL_3)))
)
thresholds = st.one_of(
    st.builds(Threshold, st.just("count"), st.integers(1, 4)),
    st.builds(Threshold, st.just("fraction"), st.floats(0.05, 1)),
    st.builds(Threshold, st.just("probability"), st.floats(0.1, 4)),
)
branches = st.tuples(thresholds, st.sampled_from(["all", "leukemia"])).map(
    lambda pair: Threshold(pair[0].measure, pair[0].at_least, pair[1])
)
votes = st.none() | st.builds(
    SubtypeVote, st.sampled_from(["count", "probability"]), st.sampled_from(["all", "leukemia"])
)
rule_sets = st.builds(RuleSet, st.just("any"), gate=thresholds, branch=branches, subtype=votes)


@settings(max_examples=80, deadline=None)
@given(slides, rule_sets, st.randoms(use_true_random=False))
def test_the_order_of_images_never_matters(tables, rule_set, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(tables[0])))
    random.shuffle(order)
    one = decide(rule_set, **dict(zip(("model_1", "model_2", "model_3"), tables, strict=True)))
    two = decide(rule_set, **{f"model_{k + 1}": table[order] for k, table in enumerate(tables)})
    assert (one.diagnosis_3, one.diagnosis_5, one.flags) == (two.diagnosis_3, two.diagnosis_5, two.flags)
    for a, b in zip(one.trace, two.trace, strict=True):
        assert a["images"] == sorted(order[i] for i in b["images"])
        assert {k: v for k, v in a.items() if k != "images"} == {k: v for k, v in b.items() if k != "images"}


@settings(max_examples=80, deadline=None)
@given(slides, st.integers(1, 4), st.integers(1, 3))
def test_a_no_leukemia_image_never_turns_leukemia_into_none(tables, at_least, added) -> None:  # type: ignore[no-untyped-def]
    rule_set = RuleSet("count", gate=Threshold("count", at_least), branch=Threshold(), subtype=SubtypeVote())
    extra = [rows(names, ["NO_LEUKEMIA"] * added) for names in (MODEL_1, MODEL_2, MODEL_3)]
    before = decide(rule_set, **{f"model_{k + 1}": t for k, t in enumerate(tables)})
    after = decide(rule_set, **{f"model_{k + 1}": np.vstack([t, extra[k]]) for k, t in enumerate(tables)})
    assert (before.diagnosis == "NO_LEUKEMIA") == (after.diagnosis == "NO_LEUKEMIA")


@settings(max_examples=60, deadline=None)
@given(slides)
def test_both_levels_of_fig_2_agree_and_fig_1_gives_the_same_3_class_answer(tables) -> None:  # type: ignore[no-untyped-def]
    named = {f"model_{k + 1}": t for k, t in enumerate(tables)}
    five, three = decide(FIG2, **named), decide(FIG1, **named)
    assert five.diagnosis_5 is not None
    assert COLLAPSE_5_TO_3[five.diagnosis_5] == five.diagnosis_3 == three.diagnosis_3
    assert json.loads(json.dumps(five.trace)) == five.trace


def test_importing_the_rules_loads_neither_torch_nor_openvino_nor_django() -> None:
    code = "import sys, inference.pipeline.hierarchy; print({'torch','openvino','django'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
