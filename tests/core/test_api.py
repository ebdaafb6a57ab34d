"""Odd input to the API gets the one error shape, never a crash."""

from __future__ import annotations

import io

import pytest

from leukoweb.core.api import StrictJSONParser
from leukoweb.core.exceptions import DomainError


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "E_JSON"),
        (b'{"a": 1, "a": 2}', "E_JSON_DUPLICATE"),
        (b'{"a": NaN}', "E_JSON"),
        (b'{"a": Infinity}', "E_JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "E_JSON_DEPTH"),
        (b'{"a": "\xff"}', "E_ENCODING"),
        (b'{"a": "\\ud800"}', "E_TEXT"),
        (b'{"a": "\\u0000"}', "E_TEXT"),
        (b'"' + b"x" * (8 * 1024 * 1024 + 1), "E_TOO_LARGE"),
    ],
)
def test_odd_json_is_refused_by_name(body: bytes, code: str) -> None:
    with pytest.raises(DomainError) as refusal:
        StrictJSONParser().parse(io.BytesIO(body))
    assert refusal.value.code == code


def test_brackets_in_strings_do_not_count() -> None:
    assert StrictJSONParser().parse(io.BytesIO(b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[\\"{{{"}')) == {"a": "[" * 25 + '"{{{'}
