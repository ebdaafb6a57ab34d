"""Prepared images with targets and patients, held in memory, and a split that no patient crosses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from leukoweb.core.exceptions import DomainError


class DatasetInvalid(DomainError):
    """Images, targets and patients do not belong together, or a patient is on both sides of a split."""

    code = "E_DATASET"


class Images(Protocol):
    """What a trainer needs of images: their number, and rows of them. An array in memory is one; so is a disk cache."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[np.uint8]: ...  # (k, size_px, size_px, 3)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Network inputs for one model.

    Attributes
    ----------
    images
        (n, size_px, size_px, 3) uint8 as ``Recipe.prepare`` makes them, in memory or read when asked for.
    targets
        (n,) index into ``classes``.
    patients
        n patient codes; images of one patient stay on one side of a split.
    classes
        In the slot's order.
    """

    images: NDArray[np.uint8] | Images
    targets: NDArray[np.int64]
    patients: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.images)
        if n == 0 or len(self.targets) != n or len(self.patients) != n:
            raise DatasetInvalid(f"{n} images, {len(self.targets)} targets and {len(self.patients)} patients.")
        if self.targets.min() < 0 or self.targets.max() >= len(self.classes):
            raise DatasetInvalid(f"A target lies outside 0 to {len(self.classes) - 1}.", field="targets")

    def counts(self) -> dict[str, int]:
        """Images of each class."""
        numbers = np.bincount(self.targets, minlength=len(self.classes))
        return {name: int(number) for name, number in zip(self.classes, numbers, strict=True)}


    def shuffled(self, seed: int) -> ImageSet:
        """The same images under permuted targets: a control from which nothing can be learned."""
        return replace(self, targets=np.random.default_rng([seed, 0x5AFE]).permutation(self.targets))


def require_apart(training: ImageSet, validation: ImageSet) -> None:
    """Raise DatasetInvalid where a patient is in both sets: its images would vouch for themselves."""
    shared = sorted(set(training.patients) & set(validation.patients))
    if shared:
        raise DatasetInvalid(
            f"{len(shared)} patients are in training and validation, the first is {shared[0]}.",
            hint="Split by patient.",
            field="patients",
        )
    if training.classes != validation.classes:
        raise DatasetInvalid(f"Classes differ: {training.classes} and {validation.classes}.", field="classes")
