"""The canvas of optical densities and the small patches that cells are drawn in.

Absorbances add where cells overlap (Beer-Lambert), so every cell only ever adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .texture import FloatArray, crop

ANGLES = 512


@lru_cache(maxsize=8)
def _polar(half: int) -> tuple[FloatArray, NDArray[np.int16]]:
    """Distance (px) and angle index around the middle of a (2 half + 1) square."""
    axis = np.arange(-half, half + 1, dtype=np.float32)
    distance = np.hypot(axis[None, :], axis[:, None]).astype(np.float32)
    turn = np.arctan2(axis[:, None], axis[None, :]) / (2 * np.pi)
    index = np.floor(turn * ANGLES).astype(np.int16) % ANGLES
    return distance, index.astype(np.int16)


@lru_cache(maxsize=1)
def directions() -> NDArray[np.float64]:
    """Angles of an outline's samples in radians, shape (ANGLES,)."""
    return np.asarray((np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES), dtype=np.float64)


def outline(
    rng: np.random.Generator, radius: float, *, stretch: float = 0.0, wobble: float = 0.0, rough: float = 0.0
) -> FloatArray:
    """Radius of a closed star-shaped outline by angle, shape (ANGLES,), micrometres.

    Args:
        stretch: relative elongation (an ellipse).
        wobble: relative size of slow bumps (3 to 6 around).
        rough: relative size of fast bumps (7 to 20 around).
    """
    angle = directions()
    shape = 1.0 + stretch * np.cos(2 * (angle - rng.uniform(0, np.pi)))
    for count in range(3, 7):
        shape += wobble * rng.normal() / (count - 1) * np.cos(count * angle + rng.uniform(0, 2 * np.pi))
    if rough:
        for count in range(7, 21, 2):
            shape += rough * rng.normal() / 3 * np.cos(count * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(radius * np.clip(shape, 0.45, 1.7), dtype=np.float32)


def dent(edge: FloatArray, dx: float, dy: float, radius: float, give: float = 1.0) -> FloatArray:
    """Pull an outline back from a neighbouring disc at (dx, dy), as soft cells yield to each other.

    `give` is the share of the overlap that yields (1: all, so the two only touch).
    """
    angle = directions()
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across2 = dx * dx + dy * dy - along**2
    hits = (along > 0) & (across2 < radius**2)
    entry = np.where(hits, along - np.sqrt(np.maximum(radius**2 - across2, 0.0)), np.inf)
    floor = 0.35 * float(edge.mean())
    pulled = np.maximum(np.minimum(edge, entry), np.minimum(floor, edge))
    mixed = edge + give * (pulled - edge)
    kernel = np.hanning(23)
    wrapped = np.concatenate([mixed[-11:], mixed, mixed[:11]])
    return np.asarray(np.convolve(wrapped, kernel / kernel.sum(), mode="valid"), dtype=np.float32)


@dataclass(frozen=True)
class Patch:
    """A window of the canvas around a cell's centre; arrays have the window's shape."""

    rows: slice
    columns: slice
    distance: FloatArray  # micrometres from the centre
    angle: NDArray[np.int16]
    x: FloatArray  # (1, w) micrometres from the centre
    y: FloatArray  # (h, 1)
    um_per_px: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.distance.shape[0], self.distance.shape[1]

    def noise(self, band: str, rng: np.random.Generator) -> FloatArray:
        """Noise of a band over this window, standard deviation 1; clipping the window does not move it."""
        u, v = rng.random(), rng.random()
        offset_y, offset_x = float(self.y[0, 0]), float(self.x[0, 0])
        return crop(band, self.um_per_px, self.shape, ((u + offset_y / 44.8) % 1.0, (v + offset_x / 44.8) % 1.0))


class Canvas:
    """Optical density (natural log) of a field, shape (3, height, width), channels R, G, B."""

    def __init__(self, width_px: int, field_um: float, stains: FloatArray) -> None:
        self.height_px = round(width_px * 3 / 4)
        self.width_px = width_px
        self.um_per_px = field_um / width_px
        self.stains = stains
        self.density: FloatArray = np.zeros((3, self.height_px, width_px), dtype=np.float32)
        self.haemoglobin: FloatArray = np.zeros((self.height_px, width_px), dtype=np.float32)

    def patch(self, x_um: float, y_um: float, reach_um: float) -> Patch | None:
        """The window within `reach_um` of a point, cut at the canvas's border; None if nothing is left."""
        column, row = round(x_um / self.um_per_px), round(y_um / self.um_per_px)
        half = int(reach_um / self.um_per_px) + 2
        left, right = max(0, column - half), min(self.width_px, column + half + 1)
        top, bottom = max(0, row - half), min(self.height_px, row + half + 1)
        if left >= right or top >= bottom:
            return None
        grid = -(-half // 64) * 64  # few sizes, so that the cache holds them all
        distance, angle = _polar(grid)
        rows = slice(top - row + grid, bottom - row + grid)
        columns = slice(left - column + grid, right - column + grid)
        scale = np.float32(self.um_per_px)
        return Patch(
            slice(top, bottom),
            slice(left, right),
            distance[rows, columns] * scale,
            angle[rows, columns],
            (np.arange(left - column, right - column, dtype=np.float32) * scale)[None, :],
            (np.arange(top - row, bottom - row, dtype=np.float32) * scale)[:, None],
            self.um_per_px,
        )

    def add(self, patch: Patch, concentration: FloatArray, stain: int) -> None:
        """Add one stain's concentration map, shape of the patch."""
        for channel in range(3):
            self.density[channel, patch.rows, patch.columns] += concentration * self.stains[stain, channel]


def soft_step(inside_um: FloatArray, softness_um: float) -> FloatArray:
    """0 outside, 1 inside, with an edge of the given width; `inside_um` is positive inside."""
    ramp = np.clip(inside_um / np.float32(softness_um) + np.float32(0.5), 0.0, 1.0)
    return np.asarray(ramp * ramp * (np.float32(3.0) - 2 * ramp), dtype=np.float32)


def join(first: FloatArray, second: FloatArray, blend_um: float) -> FloatArray:
    """Smooth union of two signed distances (negative inside)."""
    near = np.maximum(np.float32(blend_um) - np.abs(first - second), 0.0) / np.float32(blend_um)
    return np.asarray(np.minimum(first, second) - near * near * np.float32(blend_um / 4), dtype=np.float32)


def ellipse(patch: Patch, x: float, y: float, a: float, b: float, turn: float) -> FloatArray:
    """Approximate signed distance (micrometres, negative inside) to an ellipse with half-axes a and b."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = patch.x - np.float32(x), patch.y - np.float32(y)
    along, across = (dx * cos + dy * sin) / np.float32(a), (dy * cos - dx * sin) / np.float32(b)
    return np.asarray((np.sqrt(along * along + across * across) - 1) * np.float32(np.sqrt(a * b)), dtype=np.float32)
