"""File names: order, patterns, codes, hints of identity."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.naming import (
    NamePattern,
    NameRefused,
    ParsedName,
    PatternRefused,
    base_name,
    capture_order,
    extension,
    identity_hint,
    natural_key,
    printable,
    require_code,
)


def test_capture_order_counts_numbers_by_value() -> None:
    ordered = ["a1.jpg", "a2.jpg", "a10.jpg", "s1/2.jpg", "s1/10.jpg", "s2/1.jpg", "s10/1.jpg"]
    shuffled = ordered.copy()
    random.Random(4).shuffle(shuffled)
    assert capture_order(shuffled) == ordered


def test_capture_order_takes_numbers_of_any_length() -> None:
    huge, larger = "x" + "9" * 6000, "x1" + "0" * 6000
    assert capture_order([larger, huge]) == [huge, larger]


def test_capture_order_ignores_case_but_is_total() -> None:
    assert capture_order(["B2", "b1", "B1", "a3"]) == ["a3", "B1", "b1", "B2"]
    assert capture_order(["x2", "x02"]) == ["x02", "x2"]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_capture_order_does_not_depend_on_the_order_of_arrival(names: list[str]) -> None:
    assert capture_order(names) == capture_order(reversed(names))
    assert all(natural_key(name) == natural_key(name) for name in names)


@pytest.mark.parametrize(
    "name",
    ["", ".jpg", "...", "   .png", "a\x00.jpg", "a\nb.jpg", "photo\u202egpj.exe", "x" * 300 + ".jpg", "a/b/.png",
     "bad\udcff.jpg", "e\u2028.png", "\u00e9" * 130 + ".jpg"],
)  # fmt: skip
def test_a_name_that_cannot_be_kept_is_refused(name: str) -> None:
    with pytest.raises(NameRefused) as caught:
        base_name(name)
    assert caught.value.code == "E_NAME"
    assert caught.value.message.isprintable()
    caught.value.message.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.jpg", "x.jpg"),
        ("C:\\scans\\a.jpg", "a.jpg"),
        ("a.php.jpg", "a.php.jpg"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("e\u0301.png", "\u00e9.png"),
    ],
)
def test_only_the_last_part_of_a_name_is_kept(name: str, base: str) -> None:
    assert base_name(name) == base


def test_extension() -> None:
    assert [extension(n) for n in ("a.JPG", "a.tar.gz", "noext", ".hidden", "dir.x/file", "a.")] == [
        "jpg", "gz", "", "", "", ""
    ]  # fmt: skip


def test_printable_escapes_what_a_terminal_would_obey() -> None:
    assert printable("a\x1b[31m\u202eb") == "a\\u001b[31m\\u202eb"
    assert printable("x" * 100, 10) == "x" * 10 + "..."


@pytest.mark.parametrize("code", ["P1", "P-017", "a", "4", "P 17", "x" * 60, "A.b_c-d"])
def test_codes(code: str) -> None:
    assert require_code(code, "patient") == code


@pytest.mark.parametrize(
    "code",
    ["", "=HYPERLINK(1)", "+1", "-1", "@x", "\tP1", "P1\n", "P1 ", " P1", "x" * 61, "P\u00e9", "a/b", "a\\b", "\uff1d1",
     "<b>", "P\x00", "a,b", "P\u202e1", "_P"],
)  # fmt: skip
def test_codes_that_a_spreadsheet_or_a_path_could_misread_are_refused(code: str) -> None:
    with pytest.raises(NameRefused) as caught:
        require_code(code, "patient")
    assert (caught.value.code, caught.value.field) == ("E_CODE_CHARS", "patient")


def test_pattern_takes_the_number_before_the_first_underscore() -> None:
    pattern = NamePattern.compile(r"^(\d+)_")
    assert pattern.parse("ALL/4_15_1000_ALL.png") == ParsedName("4")
    assert pattern.parse("ALL\\31_2_1000_CML.png") == ParsedName("31")
    assert pattern.parse("BloodImage_00055.jpg") is None


def test_pattern_with_named_groups_may_use_the_folder() -> None:
    pattern = NamePattern.compile(r"(?P<patient>P\d+)/(?P<slide>S\d+)_(?P<order>\d+)\.")
    assert pattern.parse("P7/S2_003.jpg") == ParsedName("P7", "S2", 3)


def test_pattern_refuses_a_match_that_is_no_code() -> None:
    with pytest.raises(NameRefused):
        NamePattern.compile(r"^([^_]+)_").parse("=cmd_1.jpg")
    with pytest.raises(NameRefused):
        NamePattern.compile(r"(?P<patient>.)(?P<order>.*)\.jpg").parse("Px.jpg")


@pytest.mark.parametrize("text", ["(", "^\\d+_", "", "(?P<patient", "*"])
def test_bad_patterns_are_refused(text: str) -> None:
    with pytest.raises(PatternRefused) as caught:
        NamePattern.compile(text)
    assert caught.value.code == "E_PATTERN"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DOE_JOHN_1970-01-02_MRN123.jpg", "a record number"),
        ("mrn 00017.png", "a record number"),
        ("IMG_20230102_120301.jpg", "a date"),
        ("02.01.1970.jpg", "a date"),
        ("smear 4471902.tif", "a long number"),
        ("john.doe@example.org.jpg", "an e-mail address"),
        ("DOE^J.jpg", "a person's name"),
        ("Doe_John.jpg", "a person's name"),
        ("JohnDoe 3.tif", "a person's name"),
    ],
)
def test_names_that_look_like_an_identity(name: str, hint: str) -> None:
    assert identity_hint(name) == hint


@pytest.mark.parametrize(
    "name",
    ["AML_012.jpg", "P-017_03.jpg", "4_15_1000_ALL.png", "BloodImage_00055.jpg", "IMG_0001 (2).jpg", "E-15_0183.jpg",
     "slide 3 field 12.tif", "MYB_0001_2.tiff", "no leukemia 4.png", "LYA___LYA_0001_0_7728_108.tiff"],
)  # fmt: skip
def test_ordinary_names_raise_no_hint(name: str) -> None:
    assert identity_hint(name) is None
