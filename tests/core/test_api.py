"""Odd input to the API gets the one error shape, never a crash."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import call_command

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


def test_the_schema_describes_every_endpoint_without_a_doubt(tmp_path: Path) -> None:
    """A warning means that the schema says something else than the API does, such as two shapes under one name."""
    file = tmp_path / "schema.yml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    paths = file.read_text()
    for path in ("datasets/import/", "datasets/{id}/export/"):
        assert f"/api/v1/{path}:" in paths
