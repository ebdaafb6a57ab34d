"""Whether two images look the same: a hash proposes, a comparison of small pictures decides.

The hash (`cases.hashing`) is 64 bits and so meets by chance; the second stage compares 32 x 32 brightness patterns
from which slow changes (lamp, vignette) are taken away, so that only the arrangement of the cells counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from cases.hashing import near_duplicates

SIDE: Final = 32
HASH_BITS: Final = 12
LIKENESS_MIN: Final = 0.8
_SLOW_PX: Final = 4.0


@dataclass(frozen=True)
class Pair:
    """Two images that look the same: positions, first < second; differing bits; correlation -1 to 1."""

    first: int
    second: int
    bits: int
    likeness: float


def signature(image: Image.Image) -> bytes:
    """The brightness pattern of an image, 1,024 signed bytes: scale, brightness and contrast do not matter."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    pattern = grey - scipy.ndimage.gaussian_filter(grey, _SLOW_PX)
    spread = pattern.std()
    scaled = pattern / spread if spread > 1e-6 else np.zeros_like(pattern)
    return np.clip(np.round(scaled * 32), -127, 127).astype(np.int8).tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """Correlation of two signatures, -1 to 1. A blank image is like another blank one (1) and like nothing else (0)."""
    if one == other:
        return 1.0
    first, second = (np.frombuffer(raw, dtype=np.int8).astype(np.float64) for raw in (one, other))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm else 0.0


def similar_pairs(hashes: Sequence[int], max_bits: int = HASH_BITS) -> list[tuple[int, int, int]]:
    """What the first stage proposes: (first, second, differing bits), in ascending order."""
    return near_duplicates(hashes, max_bits)


def confirmed(
    proposals: Sequence[tuple[int, int, int]], signatures: dict[int, bytes], least: float = LIKENESS_MIN
) -> list[Pair]:
    """What the second stage keeps of the proposals whose two signatures are known."""
    pairs = []
    for first, second, bits in proposals:
        if first in signatures and second in signatures:
            alike = likeness(signatures[first], signatures[second])
            if alike >= least:
                pairs.append(Pair(first, second, bits, round(alike, 4)))
    return pairs


def groups(n: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Group number of each of ``n`` images, where a pair puts two images into one group: shape ``(n,)``."""
    parent = np.arange(n)

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = int(parent[at])
        return at

    for first, second in pairs:
        one, other = root(first), root(second)
        parent[max(one, other)] = min(one, other)
    return np.array([root(at) for at in range(n)], dtype=np.int64)
