"""Labels of images, diagnoses of patients, and the maps between the class schemes.

A **label** says what one HPF image shows (seven of them, as the paper's pathologists sorted); a
**diagnosis** says what a patient has. The original label is always stored; a coarser scheme is derived from
it by one of the maps below, which are versioned data: a dataset version or a study names the map and its
version, and a changed map gets a new version instead of changing what an old record means.

Source: JMAI-24-74, Methods ("Training set 1", model descriptions, Table 2). CLL is chronic *lymphocytic*
leukemia.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from leukoweb.core.exceptions import DomainError

TAXONOMY_VERSION: Final = 1

LABELS: Final[tuple[str, ...]] = ("AML", "ALL", "APML", "CML", "CLL", "REACTIVE", "NO_LEUKEMIA")
"""The seven sorting labels, in the order of the sorting keys 1 to 7."""

# Class orders. They are the order of network outputs and of confusion matrices, so they are never re-sorted.
TWO_CLASSES: Final[tuple[str, ...]] = ("LEUKEMIA", "NO_LEUKEMIA")
THREE_CLASSES: Final[tuple[str, ...]] = ("ACUTE", "CHRONIC", "NO_LEUKEMIA")
FOUR_CLASSES: Final[tuple[str, ...]] = ("ACUTE", "CHRONIC", "NO_LEUKEMIA", "REACTIVE")
FIVE_CLASSES: Final[tuple[str, ...]] = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


class UnknownClass(DomainError):
    """A class name that the scheme does not have; never repaired silently."""

    code = "E_CLASS"


@dataclass(frozen=True)
class ClassMap:
    """From each sorting label to a class of a scheme.

    Attributes
    ----------
    name, version
        What a record stores to say how it was derived.
    classes
        The scheme's classes in their fixed order.
    by_label
        One entry for each label of ``labels``, in order.
    labels
        The sorting labels of the taxonomy that the map belongs to.
    """

    name: str
    version: int
    classes: tuple[str, ...]
    by_label: Mapping[str, str]
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        if tuple(self.by_label) != self.labels:
            raise ValueError(f"Map {self.name} must list the labels {self.labels} in order.")
        if set(self.by_label.values()) != set(self.classes):
            raise ValueError(f"Map {self.name} must reach exactly the classes {self.classes}.")

    def __call__(self, label: str) -> str:
        """The class of `label`; raises `UnknownClass` for a name that is not one of the labels."""
        return self.by_label[require_class(label, self.labels)]

    def index(self, label: str) -> int:
        """Position of the label's class in `classes` (the target of a network)."""
        return self.classes.index(self(label))


def _map(name: str, classes: tuple[str, ...], targets: tuple[str, ...]) -> ClassMap:
    by_label = MappingProxyType(dict(zip(LABELS, targets, strict=True)))
    return ClassMap(name, TAXONOMY_VERSION, classes, by_label)


_N = "NO_LEUKEMIA"
MAPS: Final[Mapping[str, ClassMap]] = MappingProxyType(
    {
        # In the order of LABELS: AML, ALL, APML, CML, CLL, REACTIVE, NO_LEUKEMIA.
        "five": _map("five", FIVE_CLASSES, ("AML", "ALL", "AML", "CML", "CLL", _N, _N)),
        "four": _map("four", FOUR_CLASSES, ("ACUTE", "ACUTE", "ACUTE", "CHRONIC", "CHRONIC", "REACTIVE", _N)),
        "three": _map("three", THREE_CLASSES, ("ACUTE", "ACUTE", "ACUTE", "CHRONIC", "CHRONIC", _N, _N)),
        "two": _map("two", TWO_CLASSES, (*["LEUKEMIA"] * 5, _N, _N)),
    }
)
"""`five` = model 3 and the 5-class study, `four` = model 2, `three` = the 3-class study, `two` = model 1."""

FIVE_TO_THREE: Final[Mapping[str, str]] = MappingProxyType(
    {five: MAPS["three"].by_label[label] for label, five in MAPS["five"].by_label.items() if label == five}
)
"""From a 5-class diagnosis to the 3-class one, derived from the two maps above."""


@dataclass(frozen=True)
class ClassStyle:
    """How a class looks wherever it is shown: never by colour alone, always with its letter code.

    `colour` is from the Okabe-Ito palette (https://jfly.uni-koeln.de/color/), the same as in ``tokens.css``, with grey
    for what is neither; `text_colour` is the one of black and white that can be read on it, `key` the sorting key (""
    where the class is not a sorting label).
    """

    name: str
    title: str
    code: str
    colour: str
    text_colour: str
    key: str


_BLACK, _WHITE = "#000000", "#FFFFFF"
_ORANGE, _SKY, _GREEN, _YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
_BLUE, _VERMILLION, _PURPLE, _GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

STYLES: Final[Mapping[str, ClassStyle]] = MappingProxyType(
    {
        style.name: style
        for style in (
            ClassStyle("AML", "Acute myeloid leukemia", "AM", _VERMILLION, _BLACK, "1"),
            ClassStyle("ALL", "Acute lymphoblastic leukemia", "AL", _BLUE, _WHITE, "2"),
            ClassStyle("APML", "Acute promyelocytic leukemia", "AP", _PURPLE, _BLACK, "3"),
            ClassStyle("CML", "Chronic myeloid leukemia", "CM", _ORANGE, _BLACK, "4"),
            ClassStyle("CLL", "Chronic lymphocytic leukemia", "CL", _SKY, _BLACK, "5"),
            ClassStyle("REACTIVE", "Reactive cells", "RE", _GREY, _BLACK, "6"),
            ClassStyle("NO_LEUKEMIA", "No leukemia", "NL", _GREEN, _BLACK, "7"),
            ClassStyle("ACUTE", "Acute leukemia", "AC", _PURPLE, _BLACK, ""),
            ClassStyle("CHRONIC", "Chronic leukemia", "CH", _YELLOW, _BLACK, ""),
            ClassStyle("LEUKEMIA", "Leukemia", "LE", _PURPLE, _BLACK, ""),
        )
    }
)


def suggest_class(text: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that `text` was probably meant to be, or None.

    Only for "did you mean"; no caller may store the suggestion without asking a person.
    """
    allowed = tuple(allowed)
    letters = unicodedata.normalize("NFKC", text)
    visible = "".join(c for c in letters if unicodedata.category(c)[0] not in "CZ")
    folded = visible.upper().replace("-", "_")
    by_letters = {name.replace("_", ""): name for name in allowed}
    exact = by_letters.get(folded.replace("_", ""))
    if exact is not None:
        return exact
    close = difflib.get_close_matches(folded, allowed, n=1, cutoff=0.6)
    return close[0] if close else None


def require_class(text: str, allowed: Iterable[str], *, where: str = "") -> str:
    """Return `text` if it is exactly one of `allowed`, else raise `UnknownClass` with a suggestion.

    `where` is put in front of the message, for example ``"Line 12: "``.
    """
    allowed = tuple(allowed)
    if text in allowed:
        return text
    suggestion = suggest_class(text, allowed)
    hint = f"Did you mean {suggestion}?" if suggestion else "Use one of the allowed names, in capitals."
    raise UnknownClass(f"{where}{text[:60]!r} is not one of {', '.join(allowed)}.", hint=hint)
