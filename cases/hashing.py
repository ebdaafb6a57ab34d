"""Perceptual hashes: 64 bits per image under which copies that look alike are near each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy
from PIL import Image

NEAR_BITS: Final = 4
_BLOCK: Final = 1024


def perceptual_hash(image: Image.Image) -> int:
    """64-bit DCT hash of an image's coarse brightness pattern, to find near duplicates.

    The image is made grey, reduced to 32 x 32 px and transformed by DCT-II; the bits say, row by row from the most
    significant, which of the 8 x 8 lowest frequencies exceed their median. Copies that were saved again, made
    brighter or scaled differ in a few bits (`hash_distance`); turned or mirrored copies do not match. A blank
    image has one frequency only, so all blank images match each other.

    Source: the pHash algorithm as in the ImageHash library (bit-compatible with its default ``phash``).
    """
    grey = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    frequencies = scipy.fft.dct(scipy.fft.dct(np.asarray(grey, dtype=np.float64), axis=0), axis=1)[:8, :8]  # (8, 8)
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def hash_distance(one: int, other: int) -> int:
    """Number of differing bits of two perceptual hashes (0 to 64); 4 or less is a near duplicate."""
    return (one ^ other).bit_count()


def near_duplicates(hashes: Sequence[int], max_distance: int = NEAR_BITS) -> list[tuple[int, int, int]]:
    """All pairs of hashes that differ in at most `max_distance` bits.

    Parameters
    ----------
    hashes
        Perceptual hashes, each from 0 to 2**64 - 1.
    max_distance
        Number of bits, 0 to 64.

    Returns
    -------
    list of (first, second, distance)
        Positions in `hashes` with first < second, in ascending order. Every pair is compared (no index is needed:
        the 7,255 images of the paper are 26 million pairs), in blocks that bound the memory to about 20 MB.
    """
    values = np.array(hashes, dtype=np.uint64)  # (n_hashes,)
    found: list[tuple[int, int, int]] = []
    for row in range(0, len(values), _BLOCK):
        for column in range(row, len(values), _BLOCK):
            differing = values[row : row + _BLOCK, None] ^ values[None, column : column + _BLOCK]
            distances = np.bitwise_count(differing)  # (rows of the block, columns of the block)
            firsts, seconds = np.nonzero(distances <= max_distance)
            for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
                if row + first < column + second:
                    found.append((row + first, column + second, int(distances[first, second])))
    return sorted(found)
