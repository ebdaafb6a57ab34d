"""A taxonomy as data: the sorting labels with their look and keys, and the maps to coarser schemes, checked.

`PAPER` is `cases.taxonomy` written down. A laboratory adds a label by making a new version; every map must then say
what the new label becomes, and `missing_in_maps` says which do not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cases.taxonomy import LABELS, MAPS, STYLES, ClassMap
from leukoweb.core.exceptions import DomainError

NAME_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
MAP_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
CODE_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}")
COLOUR_PATTERN: Final = re.compile(r"#[0-9A-Fa-f]{6}")
RESERVED_NAMES: Final = frozenset({"CANNOT_CLASSIFY", "EXCLUDE", "EXCLUDED", "CLEARED", "OPEN", "DISPUTED"})
KEYS: Final = tuple("123456789") + tuple("qwtyuophjklvb")
"""Keys that a label may have: those that the sorting board does not use itself (docs/sorting.md)."""
MAX_LABELS: Final = len(KEYS)


class BadTaxonomy(DomainError):
    code = "E_TAXONOMY"


@dataclass(frozen=True)
class Label:
    """A sorting label: its name in data, its title for people, its letters, colours and sorting key."""

    name: str
    title: str
    code: str
    colour: str
    text_colour: str
    key: str


@dataclass(frozen=True)
class TaxonomyData:
    """Checked labels and maps. ``sha256`` is that of their canonical JSON, equal on every machine."""

    labels: tuple[Label, ...]
    maps: Mapping[str, ClassMap]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def labels_json(self) -> list[dict[str, str]]:
        return [asdict(label) for label in self.labels]

    def maps_json(self) -> dict[str, Any]:
        return {name: {"classes": list(one.classes), "by_label": dict(one.by_label)} for name, one in self.maps.items()}

    @property
    def sha256(self) -> str:
        body = {"labels": self.labels_json(), "maps": self.maps_json()}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_taxonomy(labels: Sequence[Mapping[str, str]], maps: Mapping[str, Any], *, version: int) -> TaxonomyData:
    """Check labels and maps as they are stored or sent.

    Parameters
    ----------
    labels
        ``{name, title, code, colour, key}`` each, in sorting order; the colour of the text on it is worked out.
    maps
        ``{map: {"classes": [...], "by_label": {label: class}}}``; ``classes`` may be left out.

    Raises
    ------
    BadTaxonomy
        Naming the label, the map and what is wrong with it.
    """
    checked = tuple(_label(dict(row)) for row in labels)
    if not 2 <= len(checked) <= MAX_LABELS:
        raise BadTaxonomy(f"A taxonomy has 2 to {MAX_LABELS} labels; this one has {len(checked)}.", field="labels")
    for what in ("name", "code", "key", "title"):
        values = [getattr(label, what) for label in checked]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise BadTaxonomy(f"Two labels have the {what} {twice!r}.", field="labels", hint="Give each its own.")
    names = tuple(label.name for label in checked)
    if missing := missing_in_maps(names, maps):
        told = "; ".join(f"map {name}: {', '.join(lacking)}" for name, lacking in missing.items())
        raise BadTaxonomy(
            f"Some maps do not say what every label becomes ({told}).", field="maps", hint="Fill in the class for each."
        )
    return TaxonomyData(checked, {name: _map(name, body, names, version) for name, body in sorted(maps.items())})


def missing_in_maps(names: Sequence[str], maps: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map -> labels that it says nothing about; only maps with such labels."""
    lacking = {
        name: [label for label in names if not dict(body.get("by_label", {})).get(label)] for name, body in maps.items()
    }
    return {name: labels for name, labels in lacking.items() if labels}


def _label(row: dict[str, str]) -> Label:
    name, title = row.get("name", "").strip(), row.get("title", "").strip()
    if not NAME_PATTERN.fullmatch(name) or name in RESERVED_NAMES:
        raise BadTaxonomy(
            f"{name[:60]!r} cannot be the name of a label.", field="labels",
            hint="Use capitals, digits and underscores, such as MDS or HAIRY_CELL.",
        )  # fmt: skip
    if not title or len(title) > 80:
        raise BadTaxonomy(f"Label {name} needs a title of 1 to 80 characters.", field="labels")
    code, colour, key = row.get("code", "").strip(), row.get("colour", "").strip(), row.get("key", "").strip()
    if not CODE_PATTERN.fullmatch(code):
        raise BadTaxonomy(f"Label {name} has the code {code!r}; use 2 or 3 capitals, such as MD.", field="labels")
    if not COLOUR_PATTERN.fullmatch(colour):
        raise BadTaxonomy(f"Label {name} has the colour {colour!r}; write it as #RRGGBB.", field="labels")
    if key not in KEYS:
        raise BadTaxonomy(
            f"Label {name} has the sorting key {key!r}.", field="labels",
            hint=f"Free keys are {' '.join(KEYS)}; the board uses the others itself.",
        )  # fmt: skip
    return Label(name, title, code, colour.upper(), readable_on(colour), key)


def _map(name: str, body: Mapping[str, Any], labels: tuple[str, ...], version: int) -> ClassMap:
    if not MAP_PATTERN.fullmatch(name):
        raise BadTaxonomy(f"{name[:60]!r} cannot be the name of a map.", field="maps", hint="Use small letters.")
    by_label = {label: str(body["by_label"][label]) for label in labels}
    if odd := next((target for target in by_label.values() if not NAME_PATTERN.fullmatch(target)), None):
        raise BadTaxonomy(f"Map {name}: {odd[:60]!r} cannot be the name of a class.", field="maps")
    if unknown := sorted(set(body["by_label"]) - set(labels)):
        raise BadTaxonomy(f"Map {name} names the label {unknown[0]}, which the taxonomy does not have.", field="maps")
    reached = dict.fromkeys(by_label.values())
    stated = [str(one) for one in body.get("classes", ())]
    # The stated order stands (it is the order of a network's outputs); a class that nothing reaches any more goes.
    classes = [one for one in dict.fromkeys(stated) if one in reached]
    classes += [one for one in reached if one not in classes]
    if len(classes) < 2:
        raise BadTaxonomy(f"Map {name} reaches {len(classes)} class; at least 2 are needed.", field="maps")
    return ClassMap(name, version, tuple(classes), by_label, labels)


def readable_on(colour: str) -> str:
    """Black or white, whichever contrasts more with ``#RRGGBB`` (WCAG 2.2 relative luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#FFFFFF"


def paper_taxonomy() -> TaxonomyData:
    """The seven labels and the four maps of the paper (`cases.taxonomy`), as version 1."""
    labels = [{**asdict(STYLES[name])} for name in LABELS]
    maps = {name: {"classes": one.classes, "by_label": one.by_label} for name, one in MAPS.items()}
    return read_taxonomy(labels, maps, version=1)
