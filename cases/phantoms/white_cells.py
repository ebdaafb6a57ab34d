"""Nucleated cells: a recipe becomes stain concentrations in one patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
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
    wander = patch.noise("wide", rng) + patch.noise("coarse", rng) * np.float32(0.22)
    return np.asarray(-distance + np.float32(nucleus.rough) * wander, dtype=np.float32)


def _chromatin(patch: Patch, nucleus: Nucleus, inside: FloatArray, rng: Generator) -> FloatArray:
    """Concentration of stained chromatin: texture, clefts, nucleoli, membrane."""
    coarse, medium = patch.noise("coarse", rng), patch.noise("medium", rng)
    texture = np.float32(nucleus.fine) * patch.noise("fine", rng) + np.float32(nucleus.medium) * medium
    texture += np.float32(nucleus.wide) * patch.noise("wide", rng)
    if nucleus.clumps:
        # Clefts run where the noise crosses zero: light lines around darker blocks, broken here and there.
        blotch = coarse + np.float32(0.35) * medium
        clefts = np.exp(-np.square(blotch / np.float32(0.42))) * (np.float32(0.8) + np.float32(0.4) * medium)
        texture += np.float32(nucleus.clumps) * (np.float32(0.45) * np.tanh(blotch) + np.float32(0.25) - clefts)
    if nucleus.folds:
        line = patch.noise("wide", rng) + np.float32(0.15) * coarse
        texture += np.float32(nucleus.folds) * np.exp(-np.square(line / np.float32(0.10)))
    for x, y, radius in nucleus.nucleoli:
        spot = -ellipse(patch, x, y, radius, radius * 0.85, 0.6)
        texture -= np.float32(nucleus.nucleolus_contrast) * soft_step(spot, 0.9)
        texture += np.float32(0.07) * np.exp(-((spot / np.float32(0.35)) ** 2))
    membrane = np.exp(-(((inside - np.float32(0.3)) / np.float32(0.35)) ** 2)) * np.float32(0.08)
    thick = np.float32(1) - np.float32(0.22) * np.exp(-np.maximum(inside, 0) / np.float32(1.0))
    level = np.float32(nucleus.density) * np.maximum(np.float32(1) + texture, 0.2) * thick + membrane
    return np.asarray(level * soft_step(inside, 0.40), dtype=np.float32)


def _packed(count: int, reach: float, rng: Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """About `count` places in a disc that keep their distance: a shaken hexagonal lattice."""
    spacing = reach * float(np.sqrt(2 * np.pi / (np.sqrt(3) * count)))
    steps = np.arange(-int(reach / spacing) - 2, int(reach / spacing) + 3)
    across, along = np.meshgrid(steps, steps)
    x = (across + 0.5 * along) * spacing
    y = along * spacing * np.sqrt(0.75)
    shaken = rng.normal(0, 0.2 * spacing, (2, *x.shape))
    x, y = x + shaken[0], y + shaken[1]
    kept = np.hypot(x, y) < reach
    return x[kept], y[kept]


def _sprinkle(patch: Patch, granules: Granules, reach: float, rng: Generator) -> FloatArray:
    """Coarse granules as soft discs of nearly equal size, shape of the patch."""
    if granules.packed:
        x, y = _packed(granules.count, reach, rng)
    else:
        turn, distance = (
            rng.uniform(0, 2 * np.pi, granules.count),
            reach * np.sqrt(rng.random(granules.count)),
        )
        x, y = distance * np.cos(turn), distance * np.sin(turn)
    weight = rng.uniform(0.65, 1.25, len(x))
    column = np.round((x - float(patch.x[0, 0])) / patch.um_per_px).astype(int)
    row = np.round((y - float(patch.y[0, 0])) / patch.um_per_px).astype(int)
    kept = (column >= 0) & (column < patch.shape[1]) & (row >= 0) & (row < patch.shape[0])
    points = np.zeros(patch.shape, dtype=np.float32)
    np.add.at(points, (row[kept], column[kept]), weight[kept].astype(np.float32))
    sigma = granules.size / 2.6 / patch.um_per_px
    blob = gaussian_filter(points, sigma, truncate=3.0) * np.float32(2 * np.pi * sigma * sigma)
    return np.asarray((1 - np.exp(-1.6 * blob * blob)) * np.float32(granules.depth), dtype=np.float32)


def draw_white_cell(canvas: Canvas, x: float, y: float, recipe: CellRecipe, rng: Generator, edge: FloatArray) -> None:
    """Draw one nucleated cell centred at (x, y) micrometres with the given cytoplasmic outline."""
    patch = canvas.patch(x, y, float(edge.max()) + 0.8)
    if patch is None:
        return
    border = edge[patch.angle] - patch.distance  # positive inside
    body = soft_step(border, 0.35)
    inside = np.minimum(_nucleus_distance(patch, recipe.nucleus, rng), border - np.float32(0.15))
    nucleus = soft_step(inside, 0.4)
    open_cytoplasm = body * (1 - np.float32(0.75) * nucleus)
    mottle = np.float32(1) + np.float32(recipe.mottle * 0.45) * patch.noise("fine", rng)
    mottle += np.float32(recipe.mottle * 0.6) * (patch.noise("coarse", rng) + patch.noise("wide", rng))
    rim = np.float32(1) + np.float32(recipe.rim) * np.exp(-np.maximum(border, 0) / np.float32(1.3))
    rim += np.float32(0.22) * np.exp(-np.square((border - np.float32(0.2)) / np.float32(0.3)))
    blue = np.float32(recipe.blue) * open_cytoplasm * np.maximum(mottle, 0.3) * rim
    pink = np.float32(recipe.pink) * open_cytoplasm * (np.float32(2) - np.clip(mottle, 0.3, 1.7))
    if recipe.hof is not None:
        hx, hy, radius, share = recipe.hof
        blue = blue * (1 - np.float32(share) * np.exp(-((patch.x - hx) ** 2 + (patch.y - hy) ** 2) / (radius * radius)))
    holes = np.ones(patch.shape, dtype=np.float32)
    for vx, vy, radius in recipe.vacuoles:
        holes -= np.float32(0.75) * soft_step(-ellipse(patch, vx, vy, radius, radius, 0.0), 0.35) * (1 - nucleus)
    holes = np.maximum(holes, 0.1)
    canvas.add(patch, np.asarray(blue * holes, dtype=np.float32), Stain.BLUE)
    canvas.add(patch, np.asarray(pink * holes, dtype=np.float32), Stain.PINK)
    if recipe.red:
        canvas.add(patch, np.asarray(np.float32(recipe.red) * open_cytoplasm, dtype=np.float32), Stain.RED_CELL)
    canvas.add(patch, _chromatin(patch, recipe.nucleus, inside, rng), Stain.CHROMATIN)
    if recipe.dust:
        uneven = (
            np.float32(1)
            + np.float32(0.35) * patch.noise("coarse", rng)
            + np.float32(0.35) * patch.noise("medium", rng)
        )
        grains = np.maximum(patch.noise("fine", rng) * uneven + np.float32(0.4), 0) * np.float32(recipe.dust)
        canvas.add(patch, np.asarray(grains * open_cytoplasm * holes, dtype=np.float32), Stain.AZURE)
    for granules in recipe.granules:
        spots = _sprinkle(patch, granules, recipe.radius * 0.97, rng)
        where = soft_step(border - np.float32(0.25), 0.5) * (1 - np.float32(1 - granules.over_nucleus) * nucleus)
        canvas.add(patch, np.asarray(spots * where * np.maximum(holes, 0.4), dtype=np.float32), granules.stain)
    for rx, ry, length, turn in recipe.rods:
        rod = soft_step(-ellipse(patch, rx, ry, length / 2, 0.16, turn), 0.25) * body
        canvas.add(patch, rod * np.float32(0.8), Stain.AZURE)


def cell_outline(recipe: CellRecipe, rng: Generator) -> FloatArray:
    """The cytoplasmic outline of a recipe, before its neighbours press on it."""
    return outline(rng, recipe.radius, stretch=recipe.stretch * rng.random(), wobble=recipe.wobble, rough=recipe.ragged)


def draw_smudge(canvas: Canvas, x: float, y: float, radius: float, rng: Generator) -> None:
    """A smudge (basket) cell: a burst nucleus smeared into pink-purple strands without cytoplasm."""
    edge = outline(rng, radius * 0.82, stretch=rng.uniform(0.02, 0.22), wobble=0.10)
    patch = canvas.patch(x, y, float(edge.max()) * 2.1)
    if patch is None:
        return
    reach = edge[patch.angle]
    inside = reach - patch.distance + patch.noise("wide", rng) * np.float32(0.45)
    # Strands point outwards: noise by angle, the same all along a ray.
    rays = np.convolve(rng.normal(size=edge.size + 6), np.hanning(7), mode="valid").astype(np.float32)[: edge.size]
    outwards = np.exp(
        np.minimum(inside, 0) / (np.float32(radius * 0.22) * (1 + np.float32(0.3) * np.abs(rays[patch.angle])))
    )
    core = soft_step(inside, radius * rng.uniform(0.3, 0.7))
    texture = (
        np.float32(1) + np.float32(0.10) * patch.noise("coarse", rng) + np.float32(0.12) * patch.noise("medium", rng)
    )
    texture += np.float32(0.14) * patch.noise("fine", rng)
    if rng.random() < 0.3:  # a basket: only a net of strands is left
        net = patch.noise("coarse", rng) + np.float32(0.5) * patch.noise("wide", rng)
        texture = np.float32(1.9) * np.exp(-np.square(net / np.float32(0.38))) + np.float32(0.25) * texture
    fade = np.clip((reach * np.float32(2.0) - patch.distance) / np.float32(2.5), 0, 1)
    spray = outwards * fade * np.maximum(patch.noise("fine", rng) - np.float32(0.3), 0)
    density = core * np.maximum(texture, 0.2) * np.float32(rng.uniform(0.32, 0.55))
    canvas.add(patch, np.asarray(density, dtype=np.float32), Stain.CHROMATIN)
    canvas.add(patch, np.asarray(density * 0.35 + spray * 0.22, dtype=np.float32), Stain.AZURE)
