"""Labels, class maps, their look."""

from __future__ import annotations

import pytest

from cases.taxonomy import (
    FIVE_CLASSES,
    FIVE_TO_THREE,
    FOUR_CLASSES,
    LABELS,
    MAPS,
    STYLES,
    THREE_CLASSES,
    TWO_CLASSES,
    ClassMap,
    UnknownClass,
    require_class,
    suggest_class,
)

# Rows of the class table in the pipeline's plan: label -> five, four, three, two.
TABLE = {
    "AML": ("AML", "ACUTE", "ACUTE", "LEUKEMIA"),
    "ALL": ("ALL", "ACUTE", "ACUTE", "LEUKEMIA"),
    "APML": ("AML", "ACUTE", "ACUTE", "LEUKEMIA"),
    "CML": ("CML", "CHRONIC", "CHRONIC", "LEUKEMIA"),
    "CLL": ("CLL", "CHRONIC", "CHRONIC", "LEUKEMIA"),
    "REACTIVE": ("NO_LEUKEMIA", "REACTIVE", "NO_LEUKEMIA", "NO_LEUKEMIA"),
    "NO_LEUKEMIA": ("NO_LEUKEMIA", "NO_LEUKEMIA", "NO_LEUKEMIA", "NO_LEUKEMIA"),
}
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}


@pytest.mark.parametrize("label", LABELS)
def test_maps_hold_every_row_of_the_table(label: str) -> None:
    assert tuple(MAPS[name](label) for name in ("five", "four", "three", "two")) == TABLE[label]


def test_class_orders_are_fixed() -> None:
    assert FIVE_CLASSES == ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")
    assert FOUR_CLASSES == ("ACUTE", "CHRONIC", "NO_LEUKEMIA", "REACTIVE")
    assert THREE_CLASSES == ("ACUTE", "CHRONIC", "NO_LEUKEMIA")
    assert TWO_CLASSES == ("LEUKEMIA", "NO_LEUKEMIA")
    assert MAPS["five"].index("APML") == 1
    assert all(m.version == 1 for m in MAPS.values())


def test_five_to_three_is_total() -> None:
    assert dict(FIVE_TO_THREE) == {
        "ALL": "ACUTE",
        "AML": "ACUTE",
        "CLL": "CHRONIC",
        "CML": "CHRONIC",
        "NO_LEUKEMIA": "NO_LEUKEMIA",
    }


def test_collapsing_in_steps_equals_collapsing_at_once() -> None:
    for label in LABELS:
        assert FIVE_TO_THREE[MAPS["five"](label)] == MAPS["three"](label)


def test_an_incomplete_map_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="labels"):
        ClassMap("bad", 1, ("A",), {"AML": "A"})
    with pytest.raises(ValueError, match="reach exactly"):
        ClassMap("bad", 1, ("A", "B"), dict.fromkeys(LABELS, "A"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("aml", "AML"),
        (" AML ", "AML"),
        ("Aml", "AML"),
        ("AML\u200b", "AML"),
        ("AMLL", "AML"),
        ("no leukemia", "NO_LEUKEMIA"),
        ("No-Leukemia", "NO_LEUKEMIA"),
        ("noleukemia", "NO_LEUKEMIA"),
        ("\uff21\uff2d\uff2c", "AML"),
        ("reactve", "REACTIVE"),
    ],
)
def test_a_near_miss_is_refused_with_the_name_that_was_meant(text: str, meant: str) -> None:
    with pytest.raises(UnknownClass) as caught:
        require_class(text, LABELS, where="Line 3: ")
    assert caught.value.code == "E_CLASS"
    assert caught.value.hint == f"Did you mean {meant}?"
    assert caught.value.message.startswith("Line 3: ")


def test_nonsense_gets_no_suggestion() -> None:
    assert suggest_class("=HYPERLINK()", LABELS) is None
    assert suggest_class("", LABELS) is None


def test_every_class_has_a_style_and_no_two_of_a_scheme_look_alike() -> None:
    for classes in (LABELS, FIVE_CLASSES, FOUR_CLASSES, THREE_CLASSES, TWO_CLASSES):
        styles = [STYLES[name] for name in classes]
        assert len({style.colour for style in styles}) == len(classes)
        assert len({style.code for style in styles}) == len(classes)
    assert {style.colour for style in STYLES.values()} <= OKABE_ITO
    assert [STYLES[label].key for label in LABELS] == list("1234567")
    assert STYLES["CLL"].title == "Chronic lymphocytic leukemia"


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", list(STYLES))
def test_text_on_a_class_colour_can_be_read(name: str) -> None:
    """WCAG 2.2 contrast of at least 4.5 between the text and the class colour."""
    bright, dark = sorted((_luminance(STYLES[name].colour), _luminance(STYLES[name].text_colour)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5
