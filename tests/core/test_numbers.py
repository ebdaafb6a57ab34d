"""Numbers that no column and no float can hold are refused in words, wherever they come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.pipeline.errors import RuleSetInvalid
from inference.pipeline.rules import Threshold
from leukoweb.core.exceptions import DomainError
from leukoweb.core.numbers import WHOLE_MAX, is_number, json_read
from reader_study.answers import AnswerRefused, _display
from reader_study.protocol.nodes import Integer, Number, Problem

HUGE = [10**19, 10**310, 2**20_000]


@pytest.mark.parametrize("text", ["9" * 20, "-" + "9" * 19, "9" * 5000, "1e400", "-1e400"])
def test_json_holds_no_number_that_is_too_large(text: str) -> None:
    with pytest.raises(DomainError, match="too large"):
        json_read(f'{{"a": [{text}]}}')


def test_json_holds_every_other_number() -> None:
    text = f"[{WHOLE_MAX}, -{WHOLE_MAX}, 0, 1.5, 1e300]"
    assert json_read(text) == json.loads(text)


@pytest.mark.parametrize("value", [*HUGE, True, "1", None, float("nan"), float("inf")], ids=lambda v: type(v).__name__)
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)
    assert is_number(1)
    assert is_number(-0.5)


@pytest.mark.parametrize("value", HUGE[:2], ids=["20 digits", "310 digits"])
def test_protocols_answers_and_rules_say_so(value: int) -> None:
    for node in (Integer(0, 9, 1), Number(0, 9, 1)):
        problems: list[Problem] = []
        assert node.clean(value, "a", problems) == 1
        assert "number" in problems[0].message
    with pytest.raises(AnswerRefused, match="has to be a number"):
        _display({"contrast": value})
    with pytest.raises(RuleSetInvalid, match="finite number"):
        Threshold(at_least=value)
