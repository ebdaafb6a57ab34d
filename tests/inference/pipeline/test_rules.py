"""Rule sets as validated data."""

from __future__ import annotations

from typing import Any

import pytest

from inference.pipeline.errors import RuleSetInvalid
from inference.pipeline.rules import RULE_SETS, RuleSet, SubtypeVote, Threshold, rule_set_named


@pytest.mark.parametrize("rule_set", RULE_SETS.values(), ids=list(RULE_SETS))
def test_a_rule_set_survives_its_dict(rule_set: RuleSet) -> None:
    again = RuleSet.from_dict(rule_set.as_dict())
    assert again == rule_set
    assert again.sha256 == rule_set.sha256


def test_the_hash_follows_the_content_not_the_spelling() -> None:
    base = RuleSet("x", gate=Threshold("count", 1), branch=Threshold())
    assert RuleSet("x", gate=Threshold("count", 1.0), branch=Threshold()).sha256 == base.sha256
    assert RuleSet("x", gate=Threshold("count", 2), branch=Threshold()).sha256 != base.sha256
    assert len({rule_set.sha256 for rule_set in RULE_SETS.values()}) == len(RULE_SETS)


@pytest.mark.parametrize(
    ("measure", "at_least", "voters"),
    [
        ("count", 0, "all"),
        ("count", 1.5, "all"),
        ("count", True, "all"),
        ("count", float("nan"), "all"),
        ("count", "1", "all"),
        ("fraction", 1.01, "all"),
        ("probability", -1, "all"),
        ("share", 1, "all"),
        ("count", 1, "some"),
    ],
)
def test_bad_thresholds_are_refused(measure: Any, at_least: Any, voters: Any) -> None:
    with pytest.raises(RuleSetInvalid):
        Threshold(measure, at_least, voters)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Has Spaces"},
        {"version": 0},
        {"version": True},
        {"minimum_images": 0},
        {"kind": "tree"},
        {"kind": "majority"},
        {"gate": None},
        {"branch": None},
        {"gate": {"measure": "count", "at_least": 1}},
        {"gate": {"measure": "count", "at_least": 1, "voters": "leukemia"}},
        {"gate": [1]},
        {"subtype": {"measure": "fraction", "voters": "all"}},
        {"extra": 1},
    ],
)
def test_bad_rule_sets_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RuleSetInvalid) as caught:
        RuleSet.from_dict(RULE_SETS["paper-fig2"].as_dict() | change)
    assert caught.value.code == "E_RULE_SET"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RuleSetInvalid) as caught:
        rule_set_named("paper-fig3")
    assert "paper-fig2" in caught.value.hint


def test_slots_follow_from_the_rules() -> None:
    assert RULE_SETS["paper-fig1"].slots == ("model_1", "model_2")
    assert RULE_SETS["paper-fig2"].slots == ("model_1", "model_2", "model_3")
    assert RULE_SETS["single-model-majority"].slots == ("single_model",)
    assert SubtypeVote.from_dict({"measure": "count", "voters": "all"}) == SubtypeVote()
