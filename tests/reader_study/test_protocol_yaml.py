"""The protocol as a file: the round trip is the identity, and bad files are refused with their line."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reader_study.protocol import (
    ProtocolRefused,
    YamlRefused,
    canonical,
    check_yaml,
    default_document,
    dump_yaml,
    load_yaml,
)
from reader_study.protocol.document import SCHEMA_ID
from reader_study.protocol.yaml_io import MAX_BYTES
from tests.reader_study.protocols import complete, documents


@settings(max_examples=40, deadline=None)
@given(documents)
def test_writing_and_reading_is_the_identity(document):
    text = dump_yaml(document)
    assert load_yaml(text) == document
    assert load_yaml(text.encode()) == document
    assert load_yaml(text.replace("\n", "\r\n")) == document
    assert dump_yaml(load_yaml(text)) == text


@settings(max_examples=20, deadline=None)
@given(documents)
def test_any_yaml_reader_understands_the_file(document):
    """Not only ours: the plain safe loader gives the same values."""
    assert canonical(yaml.safe_load(dump_yaml(document))) == document


def test_the_file_explains_itself():
    text = dump_yaml(complete())
    assert text.startswith("# Protocol of a reader study")
    assert "# Between two sessions of a reader, per case." in text
    assert "washout_days: 42" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x\n", "Line 1: anchors and aliases"),
        ("schema: 1\nb: *x\n", "Line 2"),
        ("a: !!python/object/apply:os.system ['true']\n", "Line 1: tags"),
        ("title: !!str 5\n", "Line 1: tags"),
        ("title: a\ntitle: b\n", "Line 2: title stands twice"),
        ("title: a\n question: b\n", "Line 2"),
        ("title: 'open\n", "not YAML"),
        ("title: a\n---\ntitle: b\n", "several documents"),
        ("[1, 2]\n", "not a protocol"),
        ("", "not a protocol"),
        ("just text", "not a protocol"),
        ("? [1, 2]\n: x\n", "Line 1: a key has to be a word"),
        ("a: " + "[" * 200 + "]" * 200, "nested deeper"),
        ("a: \x00", "not YAML"),
    ],
)
def test_tricks_and_broken_files_are_refused_with_their_line(text, words):
    with pytest.raises(YamlRefused, match=words):
        load_yaml(text)


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    with pytest.raises(YamlRefused, match="the limit is 512 KiB"):
        load_yaml(b"#" * (MAX_BYTES + 1))


def test_wrong_encodings_name_the_line():
    with pytest.raises(YamlRefused, match="Line 2: byte 0xe9 is not UTF-8"):
        load_yaml("title: a\nquestion: é\n".encode("latin-1"))


def test_problems_carry_the_line_of_their_item():
    text = (
        dump_yaml(complete()).replace("washout_days: 42", "washout_days: lots").replace("arms: [blinded]", "arms: []")
    )
    _, problems = check_yaml(text)
    lines = text.splitlines()
    for problem in problems:
        assert lines[problem.line - 1].startswith(problem.path.split(".")[0]) or "sessions" in problem.path
    found = {problem.path: str(problem) for problem in problems}
    at = lines.index("washout_days: lots") + 1
    assert found["washout_days"].startswith(f"Line {at}: washout_days: A whole number is expected here")
    with pytest.raises(ProtocolRefused):
        load_yaml(text)


def test_a_short_file_is_completed_with_the_defaults():
    document, problems = check_yaml(f"schema: {SCHEMA_ID}\ntitle: Short\n")
    assert document == {"schema": SCHEMA_ID, "title": "Short"}
    assert load_yaml(f"schema: {SCHEMA_ID}\ntitle: Short\n") == canonical(default_document() | {"title": "Short"})
    assert "question" in [problem.path for problem in problems]


def test_words_that_yaml_takes_for_something_else_stay_texts():
    document = load_yaml(f"schema: {SCHEMA_ID}\ntitle: NO\nquestion: yes\ncloses_on: 2026-12-31\n")
    assert (document["title"], document["question"], document["closes_on"]) == ("NO", "yes", "2026-12-31")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_comes_is_answered(data):
    with contextlib.suppress(YamlRefused, ProtocolRefused):
        load_yaml(data)
