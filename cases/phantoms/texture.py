"""Band-limited noise tiles: chromatin, cytoplasm, plasma film, sensor noise.

Tiles are made once per pixel size from fixed seeds, so a field at 640 px shows the same chromatin as at 1,600 px.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]

_MASTER_PX = 512
_MASTER_UM_PER_PX = 0.0875
# name: (seed, shortest and longest wavelength in micrometres)
_BANDS = {
    "fine": (11, 0.32, 1.1),
    "medium": (12, 0.8, 1.7),
    "coarse": (13, 1.7, 3.6),
    "wide": (14, 3.6, 11.0),
}


def _band_noise(seed: int, size: int, shortest: float, longest: float, spacing: float) -> FloatArray:
    """White noise filtered to a band of wavelengths; periodic, mean 0, standard deviation 1."""
    white = np.random.default_rng(seed).standard_normal((size, size))
    fy = np.fft.fftfreq(size, spacing)[:, None]
    fx = np.fft.rfftfreq(size, spacing)[None, :]
    frequency = np.hypot(fx, fy)
    low, high = 1.0 / longest, 1.0 / shortest
    keep = np.exp(-((frequency / high) ** 4)) * (1.0 - np.exp(-((frequency / low) ** 4)))
    tile = np.fft.irfft2(np.fft.rfft2(white) * keep, s=(size, size))
    return np.asarray(tile / tile.std(), dtype=np.float32)


@lru_cache(maxsize=32)
def tile(band: str, um_per_px: float) -> FloatArray:
    """The tile of a band at a pixel size, shape (n, n), about 45 micrometres wide."""
    seed, shortest, longest = _BANDS[band]
    master = _band_noise(seed, _MASTER_PX, shortest, longest, _MASTER_UM_PER_PX)
    size = max(16, round(_MASTER_PX * _MASTER_UM_PER_PX / um_per_px))
    if size == _MASTER_PX:
        return master
    return np.asarray(Image.fromarray(master).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def crop(band: str, um_per_px: float, shape: tuple[int, int], at: tuple[float, float]) -> FloatArray:
    """A window of the tile; `at` is its corner as fractions of the tile, so it does not depend on the pixel size."""
    source = tile(band, um_per_px)
    size = source.shape[0]
    rows = (int(at[0] * size) + np.arange(shape[0])) % size
    columns = (int(at[1] * size) + np.arange(shape[1])) % size
    return np.asarray(source[rows[:, None], columns[None, :]], dtype=np.float32)


@lru_cache(maxsize=1)
def _cloud_master() -> FloatArray:
    return _band_noise(21, 256, 14.0, 80.0, 1.0)


def cloud(shape: tuple[int, int], width_um: float, at: tuple[float, float]) -> FloatArray:
    """Slow variation over a whole field, shape (height, width), standard deviation about 1."""
    height_um = width_um * shape[0] / shape[1]
    master = np.roll(_cloud_master(), (-int(at[0] * 256), -int(at[1] * 256)), (0, 1))
    window = np.ascontiguousarray(master[: max(2, int(height_um)), : max(2, int(width_um))])
    small = Image.fromarray(window).resize((max(2, shape[1] // 8), max(2, shape[0] // 8)), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), dtype=np.float32)


@lru_cache(maxsize=1)
def grain() -> FloatArray:
    """Sensor noise, shape (4, 512, 512): brightness, then R, G, B; each with standard deviation 1.

    A colour sensor interpolates neighbours, so its noise is a little soft and its colour noise softer.
    """
    luminance = _band_noise(31, 512, 1.6, 60.0, 1.0)
    colours = [_band_noise(seed, 512, 3.2, 80.0, 1.0) for seed in (32, 33, 34)]
    return np.stack([luminance, *colours])
