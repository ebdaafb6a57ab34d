"""Everything that is not a red or white cell: platelets, stain precipitate, dirt."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from .shapes import Canvas, outline, soft_step
from .styles import Stain


def draw_platelet(canvas: Canvas, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A platelet: pale blue rim (hyalomere) around a purple granular middle (granulomere)."""
    edge = outline(rng, radius, stretch=rng.uniform(0, 0.22), wobble=0.10, rough=0.035)
    patch = canvas.patch(x, y, float(edge.max()) * 1.2)
    if patch is None:
        return
    inside = edge[patch.angle] - patch.distance
    body = soft_step(inside, 0.45)
    grain = np.clip(0.85 + 0.25 * patch.noise("fine", rng) + 0.25 * patch.noise("medium", rng), 0.1, 2)
    middle = soft_step(inside - np.float32(0.25 * radius), 0.9) * grain
    canvas.add(patch, body * np.float32(0.22), Stain.BLUE)
    canvas.add(patch, np.asarray(middle * np.float32(rng.uniform(0.28, 0.5)), dtype=np.float32), Stain.AZURE)
    canvas.add(patch, np.asarray(middle * np.float32(0.12), dtype=np.float32), Stain.CHROMATIN)


def draw_precipitate(canvas: Canvas, x: float, y: float, spread: float, count: int, rng: np.random.Generator) -> None:
    """A cloud of small dark specks of stain, lying over whatever is there."""
    patch = canvas.patch(x, y, spread * 2.2)
    if patch is None:
        return
    points = np.zeros(patch.shape, dtype=np.float32)
    angle, distance = rng.uniform(0, 2 * np.pi, count), np.abs(rng.normal(0, spread * 0.8, count))
    weight = rng.lognormal(0, 0.6, count)
    column = np.round((distance * np.cos(angle) - float(patch.x[0, 0])) / patch.um_per_px).astype(int)
    row = np.round((distance * np.sin(angle) - float(patch.y[0, 0])) / patch.um_per_px).astype(int)
    kept = (column >= 0) & (column < patch.shape[1]) & (row >= 0) & (row < patch.shape[0])
    np.add.at(points, (row[kept], column[kept]), weight[kept].astype(np.float32))
    sigma = 0.16 / patch.um_per_px
    blob = gaussian_filter(points, sigma) * np.float32(2 * np.pi * sigma * sigma)
    canvas.add(patch, np.asarray(0.8 * (1 - np.exp(-1.2 * blob)), dtype=np.float32), Stain.DARK)


def draw_speck(
    canvas: Canvas, x: float, y: float, radius: float, depth: float, stain: Stain, rng: np.random.Generator
) -> None:
    """A single dirt particle; a negative depth is a refractile (bright) one."""
    edge = outline(rng, radius, stretch=0.2, wobble=0.2, rough=0.1)
    patch = canvas.patch(x, y, float(edge.max()) * 1.6)
    if patch is None:
        return
    inside = edge[patch.angle] - patch.distance
    body = soft_step(inside, 0.35)
    if depth < 0:
        ring = soft_step(inside + np.float32(0.4), 0.4) - body
        canvas.add(patch, ring * np.float32(0.3) + body * np.float32(depth), Stain.DARK)
    else:
        canvas.add(patch, body * np.float32(depth), stain)
