"""Nucleated cells: a recipe becomes stain concentrations in one patch."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from .recipes import CellRecipe, Granules, Nucleus
from .shapes import Canvas, Patch, ellipse, join, outline, soft_step
from .styles import Stain
from .texture import FloatArray

Generator = np.random.Generator


def _nucleus_distance(patch: Patch, nucleus: Nucleus, rng: Generator) -> FloatArray:
    """Signed distance to the nuclear membrane, positive inside, micrometres."""
    distance = ellipse(patch, *nucleus.lobes[0])
    for lobe in nucleus.lobes[1:]:
        distance = join(distance, ellipse(patch, *lobe), nucleus.blend)
    for x, y, radius in nucleus.bites:
        away = -ellipse(patch, x, y, radius, radius, 0.0)
        distance = -join(-distance, -away, 0.9)
    wander = patch.noise("wide", rng) * np.float32(1.6) + patch.noise("coarse", rng) * np.float32(0.7)
    return np.asarray(-distance + np.float32(nucleus.rough) * wander, dtype=np.float32)


def _chromatin(patch: Patch, nucleus: Nucleus, inside: FloatArray, rng: Generator) -> FloatArray:
    """Concentration of stained chromatin: texture, nucleoli, membrane."""
    texture = np.float32(nucleus.fine) * patch.noise("fine", rng) + np.float32(nucleus.medium) * patch.noise(
        "medium", rng
    )
    if nucleus.clumps:
        blotch = patch.noise("coarse", rng) + np.float32(0.6) * patch.noise("medium", rng)
        texture += np.float32(nucleus.clumps) * np.tanh(np.float32(2.2) * blotch)
    for x, y, radius in nucleus.nucleoli:
        spot = -ellipse(patch, x, y, radius, radius * 0.85, 0.6)
        texture -= np.float32(nucleus.nucleolus_contrast) * soft_step(spot, 0.5)
        texture += np.float32(0.12) * np.exp(-((spot / np.float32(0.28)) ** 2))
    membrane = np.exp(-(((inside - np.float32(0.3)) / np.float32(0.35)) ** 2)) * np.float32(0.10)
    thick = np.float32(1) - np.float32(0.18) * np.exp(-np.maximum(inside, 0) / np.float32(1.0))
    level = np.float32(nucleus.density) * np.maximum(np.float32(1) + texture, 0.15) * thick + membrane
    return np.asarray(level * soft_step(inside, 0.30), dtype=np.float32)


def _sprinkle(patch: Patch, granules: Granules, reach: float, rng: Generator) -> FloatArray:
    """Coarse granules as soft discs of nearly equal size, shape of the patch."""
    turn = rng.uniform(0, 2 * np.pi, granules.count)
    distance = reach * np.sqrt(rng.random(granules.count))
    weight = rng.uniform(0.6, 1.3, granules.count)
    column = np.round((distance * np.cos(turn) - float(patch.x[0, 0])) / patch.um_per_px).astype(int)
    row = np.round((distance * np.sin(turn) - float(patch.y[0, 0])) / patch.um_per_px).astype(int)
    kept = (column >= 0) & (column < patch.shape[1]) & (row >= 0) & (row < patch.shape[0])
    points = np.zeros(patch.shape, dtype=np.float32)
    np.add.at(points, (row[kept], column[kept]), weight[kept].astype(np.float32))
    sigma = granules.size / 2.6 / patch.um_per_px
    blob = gaussian_filter(points, sigma, truncate=3.0) * np.float32(2 * np.pi * sigma * sigma)
    return np.asarray((1 - np.exp(-1.6 * blob * blob)) * np.float32(granules.depth), dtype=np.float32)


def draw_white_cell(
    canvas: Canvas, x: float, y: float, recipe: CellRecipe, rng: Generator, edge: FloatArray
) -> None:
    """Draw one nucleated cell centred at (x, y) micrometres with the given cytoplasmic outline."""
    patch = canvas.patch(x, y, float(edge.max()) + 0.8)
    if patch is None:
        return
    border = edge[patch.angle] - patch.distance  # positive inside
    body = soft_step(border, 0.35)
    inside = np.minimum(_nucleus_distance(patch, recipe.nucleus, rng), border - np.float32(0.15))
    nucleus = soft_step(inside, 0.4)
    open_cytoplasm = body * (1 - np.float32(0.75) * nucleus)
    mottle = np.float32(1) + np.float32(recipe.mottle) * patch.noise("medium", rng)
    mottle += np.float32(recipe.mottle * 0.6) * patch.noise("coarse", rng)
    rim = np.float32(1) + np.float32(recipe.rim) * np.exp(-np.maximum(border, 0) / np.float32(1.3))
    blue = np.float32(recipe.blue) * open_cytoplasm * np.maximum(mottle, 0.3) * rim
    pink = np.float32(recipe.pink) * open_cytoplasm * (np.float32(2) - np.clip(mottle, 0.3, 1.7))
    if recipe.hof is not None:
        hx, hy, radius, share = recipe.hof
        blue = blue * (
            1 - np.float32(share) * np.exp(-((patch.x - hx) ** 2 + (patch.y - hy) ** 2) / (radius * radius))
        )
    holes = np.ones(patch.shape, dtype=np.float32)
    for vx, vy, radius in recipe.vacuoles:
        holes -= (
            np.float32(0.75) * soft_step(-ellipse(patch, vx, vy, radius, radius, 0.0), 0.35) * (1 - nucleus)
        )
    holes = np.maximum(holes, 0.1)
    canvas.add(patch, np.asarray(blue * holes, dtype=np.float32), Stain.BLUE)
    canvas.add(patch, np.asarray(pink * holes, dtype=np.float32), Stain.PINK)
    canvas.add(patch, _chromatin(patch, recipe.nucleus, inside, rng), Stain.CHROMATIN)
    if recipe.dust is not None:
        stain, strength = recipe.dust
        grains = np.maximum(patch.noise("fine", rng) + np.float32(0.5), 0) * np.float32(strength)
        canvas.add(patch, np.asarray(grains * open_cytoplasm * holes, dtype=np.float32), stain)
    for granules in recipe.granules:
        spots = _sprinkle(patch, granules, recipe.radius * 0.97, rng)
        where = soft_step(border - np.float32(0.25), 0.5) * (
            1 - np.float32(1 - granules.over_nucleus) * nucleus
        )
        canvas.add(
            patch, np.asarray(spots * where * np.maximum(holes, 0.4), dtype=np.float32), granules.stain
        )
    for rx, ry, length, turn in recipe.rods:
        rod = soft_step(-ellipse(patch, rx, ry, length / 2, 0.16, turn), 0.25) * body
        canvas.add(patch, rod * np.float32(0.8), Stain.AZURE)


def cell_outline(recipe: CellRecipe, rng: Generator) -> FloatArray:
    """The cytoplasmic outline of a recipe, before its neighbours press on it."""
    return outline(
        rng, recipe.radius, stretch=recipe.stretch * rng.random(), wobble=recipe.wobble, rough=recipe.ragged
    )


def draw_smudge(canvas: Canvas, x: float, y: float, radius: float, rng: Generator) -> None:
    """A smudge (basket) cell: a burst nucleus smeared into pink-purple strands without cytoplasm."""
    edge = outline(rng, radius, stretch=rng.uniform(0.05, 0.3), wobble=0.25, rough=0.06)
    patch = canvas.patch(x, y, float(edge.max()) * 1.9)
    if patch is None:
        return
    wander = patch.noise("wide", rng) * np.float32(0.9) + patch.noise("coarse", rng) * np.float32(0.5)
    inside = edge[patch.angle] - patch.distance + wander
    core = soft_step(inside, np.float32(radius * 0.5))
    strands = (
        np.float32(1)
        + np.float32(0.30) * patch.noise("coarse", rng)
        + np.float32(0.22) * patch.noise("medium", rng)
    )
    spray = np.exp(np.minimum(inside, 0) / np.float32(radius * 0.35)) * np.maximum(
        patch.noise("fine", rng) - np.float32(0.6), 0
    )
    fade = np.clip((edge[patch.angle] * np.float32(1.85) - patch.distance) / np.float32(2), 0, 1)
    density = core * np.clip(strands, 0.25, 1.8) * np.float32(rng.uniform(0.35, 0.5))
    canvas.add(patch, np.asarray(density, dtype=np.float32), Stain.CHROMATIN)
    canvas.add(patch, np.asarray(density * 0.25 + spray * fade * 0.28, dtype=np.float32), Stain.AZURE)
