"""Consensus rules: every rule on agreement, difference, tie, too few, senior and adjudication."""

from __future__ import annotations

from typing import Any

import pytest

from cases.consensus import BadRule, Consensus, ConsensusRule, Given, consensus_of

AML, ALL, CML = Given("label", "AML"), Given("label", "ALL"), Given("label", "CML")
CANNOT, OUT, CLEARED = Given("cannot_classify"), Given("exclude"), Given("cleared")
SENIOR_ALL = Given("label", "ALL", senior=True)


@pytest.mark.parametrize(
    ("rule", "verdicts", "adjudication", "expected"),
    [
        ("unanimous", [AML, AML], [], Consensus("AML", "label", "unanimous", 2)),
        ("unanimous", [AML], [], Consensus("AML", "label", "single", 1)),
        ("unanimous", [AML, AML, ALL], [], Consensus("", "disputed", "", 3)),
        ("unanimous", [AML, ALL], [AML], Consensus("", "disputed", "", 2)),
        ("unanimous", [OUT, OUT], [], Consensus("", "exclude", "unanimous", 2)),
        ("unanimous", [AML, CANNOT], [], Consensus("", "disputed", "", 2)),
        ("majority", [AML, AML, ALL], [], Consensus("AML", "label", "majority", 3)),
        ("majority", [AML, ALL], [], Consensus("", "disputed", "", 2)),
        ("majority", [AML, ALL], [CML], Consensus("CML", "label", "adjudicated", 2)),
        ("majority", [AML, AML, ALL], [ALL], Consensus("AML", "label", "majority", 3)),
        ("majority", [AML, AML, ALL, ALL], [], Consensus("", "disputed", "", 4)),
        ("adjudicated", [AML, AML, ALL], [], Consensus("", "disputed", "", 3)),
        ("adjudicated", [AML, AML, ALL], [ALL], Consensus("ALL", "label", "adjudicated", 3)),
        ("adjudicated", [AML, AML], [ALL], Consensus("ALL", "label", "adjudicated", 2)),
        ("adjudicated", [AML, ALL], [ALL, ALL, AML], Consensus("ALL", "label", "panel", 2)),
        ("adjudicated", [AML, ALL], [ALL, AML], Consensus("", "disputed", "", 2)),
        ("adjudicated", [AML, ALL], [CLEARED], Consensus("", "disputed", "", 2)),
        ("senior", [AML, AML, SENIOR_ALL], [], Consensus("ALL", "label", "senior", 3)),
        ("senior", [AML, AML, CML], [], Consensus("AML", "label", "majority", 3)),
        ("senior", [AML, ALL], [], Consensus("", "disputed", "", 2)),
    ],
)
def test_rules(rule: str, verdicts: list[Given], adjudication: list[Given], expected: Consensus) -> None:
    assert consensus_of(ConsensusRule(rule), verdicts, adjudication, n_expected=len(verdicts)) == expected


def test_an_image_waits_for_all_who_have_it() -> None:
    rule = ConsensusRule("unanimous")
    assert consensus_of(rule, [AML], n_expected=2).verdict == "open"
    assert consensus_of(rule, [AML, CLEARED], n_expected=2).verdict == "open"
    assert consensus_of(rule, [], n_expected=0) == Consensus("", "open", "", 0)
    assert consensus_of(ConsensusRule("majority", min_decisions=2), [AML, AML], n_expected=3).label == "AML"
    assert consensus_of(ConsensusRule("unanimous", min_decisions=2), [AML], n_expected=1).verdict == "open"


def test_a_panel_waits_for_its_members() -> None:
    rule = ConsensusRule("adjudicated", panel_min=3)
    assert consensus_of(rule, [AML, ALL], [ALL, ALL], n_expected=2).verdict == "disputed"
    assert consensus_of(rule, [AML, ALL], [ALL, ALL, AML], n_expected=2).label == "ALL"


def test_a_rule_is_data_and_comes_back_the_same() -> None:
    rule = ConsensusRule("senior", min_decisions=2, panel_min=3)
    assert ConsensusRule.from_dict(rule.as_dict()) == rule


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"rule": "loudest"}, "rule"),
        ({"rule": "majority", "version": 2}, "version"),
        ({"min_decisions": -1}, "min_decisions"),
        ({"min_decisions": True}, "min_decisions"),
        ({"panel_min": 0}, "panel_min"),
        ({"quorum": 2}, "quorum"),
    ],
)
def test_a_bad_rule_is_named(data: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRule) as caught:
        ConsensusRule.from_dict(data)
    assert caught.value.field == field
