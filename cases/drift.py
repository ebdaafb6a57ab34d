"""How two sets of images differ: colour, sharpness, size, class mix. Effect sizes, no p-values.

Images of one patient are alike, so a test that takes them for independent would find everything significant; an effect
size says how large a difference is, whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final[Mapping[str, str]] = {
    "red": "Mean red",
    "green": "Mean green",
    "blue": "Mean blue",
    "background": "Background brightness",
    "sharpness": "Sharpness",
    "exposure": "Exposure",
    "stain": "Stain saturation",
    "illumination": "Unevenness of light",
    "nucleated": "Nucleated share",
    "width_px": "Width in pixels",
    "height_px": "Height in pixels",
}
SMALL, LARGE = 0.2, 0.8
"""Cohen's words for |d|: below 0.2 small, above 0.8 large (Cohen 1988, Statistical Power Analysis, 2nd ed., p. 40)."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One feature in two sets.

    Attributes
    ----------
    d
        Mean of the second minus mean of the first, over the pooled standard deviation (Cohen's d); None where neither
        set varies or a set has fewer than two images.
    ks
        Largest distance between the two cumulative distributions, 0 to 1 (Kolmogorov-Smirnov).
    """

    name: str
    title: str
    mean_a: float
    sd_a: float
    mean_b: float
    sd_b: float
    d: float | None
    ks: float

    @property
    def size(self) -> str:
        """Words for |d|; where there is no d, whether the means differ."""
        if self.d is None:
            return "different constants" if self.mean_a != self.mean_b else "equal"
        return "small" if abs(self.d) < SMALL else "large" if abs(self.d) > LARGE else "medium"


def difference(name: str, a: Values, b: Values) -> Difference:
    """Compare one feature, arrays of shape ``(n_a,)`` and ``(n_b,)``; raises ValueError if one is empty.

    Example
    -------
    >>> difference("red", np.array([0.0, 2.0]), np.array([2.0, 4.0])).d
    1.4142135623730951
    """
    if not len(a) or not len(b):
        raise ValueError("Both sets need at least one image.")
    d = None
    if len(a) > 1 and len(b) > 1:
        pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
        d = float((b.mean() - a.mean()) / np.sqrt(pooled)) if pooled > 1e-18 else None
    return Difference(name, FEATURES[name], float(a.mean()), _sd(a), float(b.mean()), _sd(b), d, ks_distance(a, b))


def _sd(values: Values) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def ks_distance(a: Values, b: Values) -> float:
    """Largest distance of the two empirical distribution functions."""
    at = np.sort(np.concatenate([a, b]))
    below_a = np.searchsorted(np.sort(a), at, side="right") / len(a)
    below_b = np.searchsorted(np.sort(b), at, side="right") / len(b)
    return float(np.abs(below_a - below_b).max())


@dataclass(frozen=True)
class Mix:
    """Shares of the classes in two sets; ``distance`` is half the sum of their differences (total variation)."""

    classes: tuple[str, ...]
    counts_a: tuple[int, ...]
    counts_b: tuple[int, ...]

    @property
    def shares_a(self) -> list[float]:
        return _shares(self.counts_a)

    @property
    def shares_b(self) -> list[float]:
        return _shares(self.counts_b)

    @property
    def distance(self) -> float | None:
        if not sum(self.counts_a) or not sum(self.counts_b):
            return None
        return sum(abs(x - y) for x, y in zip(self.shares_a, self.shares_b, strict=True)) / 2

    @property
    def rows(self) -> list[tuple[str, int, float, int, float]]:
        return list(zip(self.classes, self.counts_a, self.shares_a, self.counts_b, self.shares_b, strict=True))


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]
