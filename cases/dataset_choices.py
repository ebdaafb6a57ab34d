"""What a person chooses for a dataset version, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from leukoweb.core.exceptions import DomainError

DEFAULT_FRACTION: Final = 0.2
DEFAULT_MIN_IMAGES: Final = 3
"""The paper left out smears with fewer than three images."""


@dataclass(frozen=True)
class Settings:
    """How labels, slides and patients become a version.

    Attributes
    ----------
    class_map
        Map of the taxonomy by which patients are stratified and classes counted; labels are kept as sorted.
    min_images
        Slides with fewer usable images are left out.
    fraction
        Share of patients for internal validation. With folds it is not used: fold 1 is the internal part.
    folds
        0, or 2 to 20 folds of patients for cross-validation.
    seed
        Of the split; the same seed and the same state give the same version.
    """

    class_map: str = "five"
    min_images: int = DEFAULT_MIN_IMAGES
    fraction: float = DEFAULT_FRACTION
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_images <= 1000:
            raise DomainError(
                f"The minimum of images per slide is {self.min_images}; use 1 to 1000.", field="min_images"
            )
        if not 0 < self.fraction <= 0.5:
            raise DomainError(
                f"The internal share is {self.fraction}; it must lie above 0 and be 0.5 at most.", field="fraction"
            )
        if self.folds and not 2 <= self.folds <= 20:
            raise DomainError(f"{self.folds} folds cannot be made; use 2 to 20, or 0 for none.", field="folds")
        if not 0 <= self.seed < 2**31:
            raise DomainError(f"The seed is {self.seed}; use a whole number from 0 to {2**31 - 1}.", field="seed")

    def as_dict(self) -> dict[str, Any]:
        """For the manifest. The share is a text: floats are spelled differently in different places."""
        return {
            "class_map": self.class_map, "min_images": self.min_images, "fraction": f"{self.fraction:.4f}",
            "folds": self.folds, "seed": self.seed,
        }  # fmt: skip
