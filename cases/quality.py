"""Measured quality of a field: numbers that help a person to find poor images. They exclude nothing by themselves.

Everything is measured on a copy whose longer side has at most `WORK_PX` pixels, so that cameras can be compared and
a blur that a network at 448 px would not see either does not count.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from cases.likeness import signature

MEASURE_VERSION: Final = 2
"""Raised whenever the same image would give other numbers; rows of an older version are measured again."""

WORK_PX: Final = 800
_TILES: Final = 4
_STRONG_EDGES: Final = 0.95  # quantile of the blurred gradient above which a pixel lies on an edge
_FLAT: Final = 0.3  # quantile below which there is no edge, so that what gradient there is, is noise
_NUCLEAR_GREEN: Final = 0.5  # natural-log absorbance of green light
_NUCLEAR_EXCESS: Final = 0.25  # by which it exceeds that of blue light
_STAINED: Final = 0.15
_NUCLEUS_PX: Final = 0.0006  # of the field: smaller specks are platelets and precipitate, not nuclei

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """What was measured of one image.

    Attributes
    ----------
    sharpness
        Share of the gradient on strong edges that a slight blur takes away, 0 to 1, without what noise adds to it.
        Out of focus: near 0, because there is nothing left to lose (after Crete et al. 2007,
        doi:10.1117/12.702790). 0 for a blank image.
    exposure
        Mean luminance, 0 to 1 (Rec. 601 weights on the stored values).
    clipped
        Share of pixels at black (luminance <= 1) or white (>= 254) of 255.
    stain
        Mean saturation (HSV) of the stained pixels over the colour of the bare glass, so that a tinted lamp or
        white balance is no stain, 0 to 1; 0 where nothing is stained.
    illumination
        Unevenness of the bare background: largest minus smallest of the 4 x 4 tiles, over the largest. 0 = even.
    nucleated
        Share of the field that absorbs light as chromatin does, in spots large enough for a nucleus.
    colour
        ``mean`` and ``sd`` of R, G, B over the field and the ``background`` colour, each 0 to 1; for drift reports.
    signature
        What `cases.likeness.likeness` compares.
    """

    sharpness: float
    exposure: float
    clipped: float
    stain: float
    illumination: float
    nucleated: float
    colour: dict[str, list[float]]
    signature: bytes

    def as_fields(self) -> dict[str, Any]:
        """By the column names of the table."""
        return asdict(self)


def measure(image: Image.Image) -> Quality:
    """Measure an RGB image. Same pixels, same numbers."""
    rgb = _work_copy(image)  # (height, width, 3), 0 to 1
    luminance = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    background = np.maximum(np.percentile(rgb.reshape(-1, 3), 95, axis=0), 0.05).astype(np.float32)
    absorbance = -np.log(np.clip(rgb / background, 0.01, 1.0))  # (height, width, 3), natural log
    return Quality(
        sharpness=_sharpness(luminance),
        exposure=_rounded(luminance.mean()),
        clipped=_rounded(((luminance <= 1 / 255) | (luminance >= 254 / 255)).mean()),
        stain=_stain(np.clip(rgb / background, 0.0, 1.0), absorbance),
        illumination=_illumination(luminance),
        nucleated=_nucleated(absorbance),
        colour={
            "mean": [_rounded(value) for value in rgb.mean(axis=(0, 1))],
            "sd": [_rounded(value) for value in rgb.std(axis=(0, 1))],
            "background": [_rounded(value) for value in background],
        },
        signature=signature(image),
    )


def _rounded(value: Any) -> float:
    """Six digits: the last bits differ between machines."""
    return round(float(value), 6)


def _work_copy(image: Image.Image) -> Plane:
    copy = image.convert("RGB")
    if max(copy.size) > WORK_PX:
        scale = WORK_PX / max(copy.size)
        size = (max(1, round(copy.width * scale)), max(1, round(copy.height * scale)))
        copy = copy.resize(size, Image.Resampling.BOX)
    return np.asarray(copy, dtype=np.float32) / np.float32(255)


def _sharpness(luminance: Plane) -> float:
    """Edges are looked for in the blurred image, where noise makes none; its power in flat parts is taken off.

    Without both, a noisy field that is far out of focus has nothing but noise to blur and would pass for the sharpest.
    """
    here, after = (_gradient(scipy.ndimage.gaussian_filter(luminance, sigma)) ** 2 for sigma in (0.8, 2.0))
    edges = after >= max(float(np.quantile(after, _STRONG_EDGES)), 1e-8)
    flat = after <= float(np.quantile(after, _FLAT))
    if not edges.any():
        return 0.0
    before = float(here[edges].mean() - here[flat].mean())
    if before <= 1e-8:
        return 0.0
    left = max(0.0, float(after[edges].mean() - after[flat].mean()))
    return _rounded(1.0 - min(1.0, (left / before) ** 0.5))


def _gradient(plane: Plane) -> Plane:
    down, right = np.gradient(plane)
    return np.hypot(down, right)  # type: ignore[no-any-return]


def _stain(rgb: Plane, absorbance: Plane) -> float:
    stained = absorbance.max(axis=2) > _STAINED
    if not stained.any():
        return 0.0
    high, low = rgb.max(axis=2)[stained], rgb.min(axis=2)[stained]
    return _rounded(((high - low) / np.maximum(high, 1e-3)).mean())


def _illumination(luminance: Plane) -> float:
    """Bare glass is the brightest of each tile; its 90 % quantile is not moved by a few clipped pixels."""
    rows = np.array_split(luminance, min(_TILES, luminance.shape[0]), axis=0)
    tiles = [tile for row in rows for tile in np.array_split(row, min(_TILES, row.shape[1]), axis=1)]
    bright = [float(np.quantile(tile, 0.9)) for tile in tiles]
    return _rounded((max(bright) - min(bright)) / max(*bright, 1e-3))


def _nucleated(absorbance: Plane) -> float:
    """Chromatin takes far more green light than the field's red cells, and much less blue than green.

    Haemoglobin takes blue and green alike, a grey pointer or shadow all three; stains differ so much between
    laboratories that the limits are taken from the field's own stained pixels, most of which are red cells.
    """
    green = absorbance[..., 1]
    excess = green - absorbance[..., 2]
    stained = absorbance.max(axis=2) > _STAINED
    if not stained.any():
        return 0.0
    likely = green > max(_NUCLEAR_GREEN, 1.7 * float(np.median(green[stained])))
    likely &= excess > max(_NUCLEAR_EXCESS, 1.7 * float(np.median(excess[stained])))
    spots, count = scipy.ndimage.label(scipy.ndimage.binary_opening(likely, iterations=2))
    if not count:
        return 0.0
    sizes = np.bincount(spots.ravel())[1:] / likely.size
    return _rounded(sizes[sizes >= _NUCLEUS_PX].sum())
