"""Is it time to train again? Plain measures of what has come in since, and a suggestion with its reasons. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

LEAST_IMAGES: Final = 10  # fewer say nothing about a device
SHIFT: Final = 0.8  # standard deviations of the training images; Cohen's "large"
CONFIDENCE_DROP: Final = 0.1
GROWTH: Final = 0.2  # share of new labelled images against the training set


@dataclass(frozen=True, slots=True)
class Shift:
    """A measure of incoming images against the training images; ``size`` in standard deviations of the latter."""

    device: str
    measure: str
    n_images: int
    incoming: float
    training: float
    size: float | None

    @property
    def notable(self) -> bool:
        return self.size is not None and abs(self.size) >= SHIFT and self.n_images >= LEAST_IMAGES


def shifts(
    training: Mapping[str, Sequence[float]], incoming: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Shift]:
    """Every measure of every device (device -> measure -> values) against all training images, the largest first.

    Undefined (size None) without training images or where they do not vary.
    """
    found = []
    for device, measures in incoming.items():
        for name, values in measures.items():
            base = np.asarray(training.get(name, ()), dtype=np.float64)
            if not len(values) or not base.size:
                continue
            mean, spread = float(np.mean(values)), float(base.std())
            size = (mean - float(base.mean())) / spread if spread > 1e-12 else None
            found.append(Shift(device, name, len(values), mean, float(base.mean()), size))
    return sorted(found, key=lambda shift: -abs(shift.size or 0))


@dataclass(frozen=True, slots=True)
class Confidence:
    """Mean probability of the called class on a device's incoming images, against the internal-validation images."""

    device: str
    n_images: int
    incoming: float
    internal: float | None

    @property
    def notable(self) -> bool:
        return self.internal is not None and self.n_images >= LEAST_IMAGES and self.drop >= CONFIDENCE_DROP

    @property
    def drop(self) -> float:
        return (self.internal or self.incoming) - self.incoming


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``level``: none, consider, retrain."""

    level: str
    title: str
    reasons: tuple[str, ...]


def suggest(
    *, live: str | None, drawn: Sequence[str], n_training: int, n_new: int, found: Sequence[Shift],
    confidences: Sequence[Confidence],
) -> Suggestion:  # fmt: skip
    """What to do, from the counts and the shifts. ``drawn``: the deciding models that were trained on phantoms."""
    if live is None:
        return Suggestion("retrain", "No pipeline is active: train one.", ("Nothing can be diagnosed without one.",))
    strong, weak = [], []
    if drawn:
        strong.append(f"{live} decides by models trained on drawn phantoms, for demonstration: {', '.join(drawn)}.")
    if n_training and n_new >= GROWTH * n_training:
        strong.append(f"{n_new} labelled images are new, {n_new / n_training:.0%} of the {n_training} trained on.")
    elif n_new and not n_training:
        weak.append(f"{n_new} labelled images are new; the images that it was trained on are not here.")
    elif n_new:
        weak.append(f"{n_new} labelled images are new; from {GROWTH:.0%} of {n_training} on they are worth a training.")
    drifted = list(dict.fromkeys(shift.device for shift in found if shift.notable))
    unsure = [confidence.device for confidence in confidences if confidence.notable]
    for device in drifted:
        names = [shift.measure for shift in found if shift.device == device and shift.notable]
        words = f"Images of {device} look different from the training images ({', '.join(names[:3])})."
        (strong if device in unsure else weak).append(words)
    for device in unsure:
        drop = next(c.drop for c in confidences if c.device == device)
        strong.append(f"The model is less sure on images of {device}: by {drop:.2f} in the called class's probability.")
    if strong:
        return Suggestion("retrain", "Retraining is worth it.", (*strong, *weak))
    if weak:
        return Suggestion("consider", "Not yet; keep an eye on it.", tuple(weak))
    return Suggestion("none", "Nothing speaks for retraining.", ("No new labelled images and no drift were found.",))
