"""The flow of images through curation: received, left out by reason, kept. As a table, and as a figure's boxes.

Reporting guidelines ask for it (STARD 2015 item 19, TRIPOD+AI item 20a): every image that was received is either kept
or counted under the first step that took it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

RECEIVED: Final = "received"
KEPT: Final = "kept"

TITLES: Final[Mapping[str, str]] = {
    RECEIVED: "Received",
    "excluded_blur": "Excluded: out of focus",
    "excluded_exposure": "Excluded: too dark, too bright or clipped",
    "excluded_stain": "Excluded: poor stain",
    "excluded_no_cell": "Excluded: no nucleated cell",
    "excluded_duplicate": "Excluded: duplicate",
    "excluded_text": "Excluded: burnt-in text",
    "excluded_other": "Excluded: other reason",
    "copy": "Identical copy of another image of the patient",
    "sorted_out": "Excluded by the sorters",
    "cannot_classify": "Cannot be classified, say the sorters",
    "not_sorted": "Not sorted, or by too few",
    "disputed": "Sorters disagree, not settled",
    "small_slide": "On a slide with fewer images than the minimum",
    KEPT: "Kept",
}
"""Every step, in the order in which an image meets it."""


@dataclass(frozen=True)
class Passed:
    """An image with the step that took it out, or ``kept``."""

    step: str
    slide: Any
    patient: Any


@dataclass(frozen=True)
class Step:
    """A line of the flow. ``n_slides`` and ``n_patients`` are those that the step's images belong to."""

    step: str
    title: str
    n_images: int
    n_slides: int
    n_patients: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def flow_of(images: Iterable[Passed]) -> list[Step]:
    """Received, each step that took an image out, and kept; the images of the steps add up to the received ones."""
    rows = list(images)
    return [
        _step(name, rows if name == RECEIVED else [row for row in rows if row.step == name])
        for name in TITLES
        if name in (RECEIVED, KEPT) or any(row.step == name for row in rows)
    ]


def _step(name: str, rows: Sequence[Passed]) -> Step:
    slides, patients = {row.slide for row in rows}, {row.patient for row in rows}
    return Step(name, TITLES[name], len(rows), len(slides), len(patients))
