"""The trace in words, and the order of images that it gives."""

from __future__ import annotations

import json

import numpy as np

from inference.pipeline.classes import DIAGNOSES_3, MODEL_2, MODEL_3
from inference.pipeline.hierarchy import (
    RULE_SETS,
    RuleSet,
    SubtypeVote,
    Threshold,
    decide,
    deciding_images,
    rank_images,
    trace_sentences,
    trace_text,
)
from tests.inference.pipeline.tables import rows, slide

FIG2 = RULE_SETS["paper-fig2"]


def test_the_sentence_of_the_plan() -> None:
    one = ["LEUKEMIA"] * 17 + ["NO_LEUKEMIA"] * 25
    three = ["ALL"] * 5 + ["AML"] * 12 + ["NO_LEUKEMIA"] * 25
    decision = decide(FIG2, **slide(one, ["ACUTE"] * 17 + ["NO_LEUKEMIA"] * 25, three))
    assert trace_text(decision.trace) == (
        "17 of 42 fields show leukemia; model 2 calls 0 of 42 chronic, so acute; votes ALL 5 : AML 12, so AML"
    )
    assert trace_text(json.loads(json.dumps(decision.trace))) == trace_text(decision.trace)


def test_a_shut_gate_in_words() -> None:
    assert trace_sentences(decide(FIG2, **slide(["NO_LEUKEMIA"])).trace) == [
        "0 of 1 field show leukemia, so no leukemia"
    ]


def test_ties_are_said() -> None:
    votes = decide(FIG2, **slide(["LEUKEMIA"] * 2, ["ACUTE"] * 2, ["AML", "ALL"])).trace
    assert trace_sentences(votes)[2] == (
        "votes ALL 1 : AML 1, a tie; summed probability ALL 0.925 : AML 0.925, also a tie; first in class order, so ALL"
    )
    nobody = decide(FIG2, **slide(["LEUKEMIA"], ["CHRONIC"], ["AML"])).trace
    assert "votes CLL 0 : CML 0, no vote" in trace_sentences(nobody)[2]


def test_other_rules_in_words() -> None:
    rule_set = RuleSet(
        "custom",
        gate=Threshold("probability", 0.5),
        branch=Threshold("fraction", 0.25, "leukemia"),
        subtype=SubtypeVote("probability", "leukemia"),
    )
    p1 = np.array([[0.9, 0.1], [0.2, 0.8]])
    decision = decide(
        rule_set,
        model_1=p1,
        model_2=rows(MODEL_2, ["CHRONIC"] * 2),
        model_3=rows(MODEL_3, ["CML"] * 2),
    )
    assert trace_text(decision.trace) == (
        "1 of 2 fields shows leukemia, summed probability of leukemia 1.100 (the rule asks for 0.5); "
        "model 2 calls 1 of 1 leukemia fields chronic, 100.0% (the rule asks for 25.0%), so chronic; "
        "summed probability CLL 0.025 : CML 0.900, so CML"
    )
    two = RuleSet("custom", gate=Threshold("count", 2), branch=Threshold())
    assert "(the rule asks for 2)" in trace_text(decide(two, **slide(["LEUKEMIA"] * 3, ["ACUTE"] * 3)).trace)


def test_majority_in_words() -> None:
    p = rows(DIAGNOSES_3, ["ACUTE", "ACUTE", "NO_LEUKEMIA"])
    decision = decide(RULE_SETS["single-model-majority"], single_model=p, classes=DIAGNOSES_3)
    assert trace_text(decision.trace) == "votes acute 2 : chronic 0 : no leukemia 1, so acute"


def test_images_that_decided_come_first() -> None:
    tables = slide(
        ["NO_LEUKEMIA", "LEUKEMIA", "LEUKEMIA", "LEUKEMIA"],
        ["NO_LEUKEMIA", "ACUTE", "ACUTE", "REACTIVE"],
        ["NO_LEUKEMIA", "ALL", "AML", "AML"],
    )
    decision = decide(FIG2, **tables)
    assert decision.diagnosis == "AML"
    # 2 carried every step, 3 gate and vote, 1 gate and branch, 0 nothing.
    assert rank_images(decision.trace, **tables) == [2, 3, 1, 0]
    assert deciding_images(decision.trace) == [1, 2, 3]


def test_behind_a_shut_gate_the_nearest_to_leukemia_come_first() -> None:
    p1 = np.array([[0.1, 0.9], [0.4, 0.6], [0.2, 0.8]])
    decision = decide(FIG2, model_1=p1)
    assert rank_images(decision.trace, model_1=p1) == [1, 2, 0]
    assert deciding_images(decision.trace) == []
