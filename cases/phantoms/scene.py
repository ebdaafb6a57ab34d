"""Where everything lies on the glass: white cells first, red cells around them, dirt on top.

All of it is decided in micrometres, so that a field looks the same at every pixel width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .background import draw_platelet, draw_precipitate, draw_speck
from .kinds import RECIPES, SMUDGE
from .patients import Traits
from .recipes import CellRecipe
from .red_cells import RedCell, crenate, draw_red_cell, stain_red_cells, tear
from .shapes import Canvas, dent, outline
from .styles import Stain
from .texture import FloatArray, cloud
from .white_cells import cell_outline, draw_smudge, draw_white_cell

FIELD_UM = (140.0, 105.0)


@dataclass
class WhiteCell:
    """A placed nucleated cell. `recipe` is None for a smudge cell."""

    kind: str
    x: float
    y: float
    radius: float
    edge: FloatArray
    recipe: CellRecipe | None
    seed: int


@dataclass(frozen=True)
class Scene:
    whites: tuple[WhiteCell, ...]
    reds: tuple[RedCell, ...]
    traits: Traits
    seed: int


def _place_whites(kinds: list[str], traits: Traits, rng: np.random.Generator) -> list[WhiteCell]:
    """Scatter the nucleated cells; leukemic ones like to lie together, the first is never cut by the border."""
    placed: list[WhiteCell] = []
    flock = rng.random() < 0.4
    for number, kind in enumerate(kinds):
        seed = int(rng.integers(2**62))
        own = np.random.default_rng(seed)
        recipe = None if kind == SMUDGE else RECIPES[kind](own, traits.cell_scale)
        radius = float(own.uniform(5.5, 8.5)) if recipe is None else recipe.radius
        margin = radius * (1.1 if number == 0 else float(rng.choice([1.05, 1.05, 1.05, 0.2])))
        for attempt in range(40):
            x, y = rng.uniform(margin, FIELD_UM[0] - margin), rng.uniform(margin, FIELD_UM[1] - margin)
            if flock and placed and attempt < 25:
                near, turn = placed[int(rng.integers(len(placed)))], rng.uniform(0, 2 * np.pi)
                away = (near.radius + radius) * rng.uniform(0.98, 2.2)
                x, y = near.x + away * np.cos(turn), near.y + away * np.sin(turn)
                if not (margin <= x <= FIELD_UM[0] - margin and margin <= y <= FIELD_UM[1] - margin):
                    continue
            if all(np.hypot(x - other.x, y - other.y) > 0.97 * (radius + other.radius) for other in placed):
                edge = outline(own, radius) if recipe is None else cell_outline(recipe, own)
                placed.append(WhiteCell(kind, float(x), float(y), radius, edge, recipe, seed))
                break
    for cell in placed:
        for other in placed:
            if other is not cell:
                cell.edge = _yield(cell.edge, cell.x, cell.y, other.x, other.y, other.radius, 1.0)
    return placed


def _yield(edge: FloatArray, x: float, y: float, ox: float, oy: float, radius: float, give: float) -> FloatArray:
    dx, dy = ox - x, oy - y
    squared = dx * dx + dy * dy
    if squared < 900 and squared < (float(edge.max()) + radius) ** 2:  # no two cells are 30 micrometres apart and touch
        return dent(edge, dx, dy, radius, give)
    return edge


def _red_centres(whites: list[WhiteCell], traits: Traits, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Centres and radii of red cells: thrown at random, partly stuck to one another in chains, thinner in places."""
    wanted = int(traits.red_cells * np.clip(rng.lognormal(0, 0.2), 0.5, 1.6))
    wx = np.array([w.x for w in whites])
    wy = np.array([w.y for w in whites])
    wr = np.array([w.radius * (1.0 if w.recipe is not None else 0.7) for w in whites])
    centres = np.zeros((wanted, 3))
    headings = np.zeros(wanted)
    count = 0
    slope_x, slope_y, slope = rng.normal(), rng.normal(), rng.uniform(0, 0.8)
    for _ in range(wanted * 7):
        if count == wanted:
            break
        radius = traits.red_radius * float(np.clip(rng.normal(1, traits.red_variation), 0.72, 1.3))
        chained = count > 0 and rng.random() < traits.rouleaux
        if chained:
            last = count - 1 if rng.random() < 0.7 else int(rng.integers(count))
            heading = headings[last] + rng.normal(0, 0.35)
            step = (centres[last, 2] + radius) * rng.uniform(0.60, 0.92)
            x, y = centres[last, 0] + step * np.cos(heading), centres[last, 1] + step * np.sin(heading)
        else:
            heading = rng.uniform(0, 2 * np.pi)
            x, y = rng.uniform(-4, FIELD_UM[0] + 4), rng.uniform(-4, FIELD_UM[1] + 4)
            thin = slope * (slope_x * (x / FIELD_UM[0] - 0.5) + slope_y * (y / FIELD_UM[1] - 0.5))
            if rng.random() < thin:
                continue
        if whites and np.any(np.hypot(wx - x, wy - y) < wr + radius * 0.62):
            continue
        gap = np.hypot(centres[:count, 0] - x, centres[:count, 1] - y) / (centres[:count, 2] + radius)
        closest = 0.5 if chained else (0.70 if rng.random() < 0.06 else 0.93)
        if count and gap.min() < closest:
            continue
        centres[count] = x, y, radius
        headings[count] = heading
        count += 1
    return [(float(x), float(y), float(r)) for x, y, r in centres[:count]]


def _make_red(
    x: float, y: float, radius: float, whites: list[WhiteCell], traits: Traits, rng: np.random.Generator
) -> RedCell:
    stretched = rng.random() < traits.ovals
    stretch = rng.uniform(0.10, 0.3) if stretched else abs(rng.normal(0, 0.04))
    edge = outline(rng, radius, stretch=stretch, wobble=traits.red_wobble)
    if rng.random() < traits.crenated:
        edge = crenate(edge, int(rng.integers(9, 15)), rng.uniform(0.12, 0.3), rng.uniform(0, 6))
    elif rng.random() < 0.12 * traits.ovals:
        edge = tear(edge, rng.uniform(0.25, 0.6), rng.uniform(0, 2 * np.pi))
    for white in whites:
        if white.recipe is None or white.recipe.yields < 0.9:
            edge = _yield(edge, x, y, white.x, white.y, white.radius * 0.97, 1.0)
    pallor = 0.0 if rng.random() < 0.08 else float(np.clip(rng.normal(traits.pallor, 0.13), 0, 0.95))
    return RedCell(
        x,
        y,
        edge,
        haemoglobin=traits.haemoglobin * float(rng.normal(1, 0.08)),
        pallor=pallor,
        pallor_width=float(np.clip(rng.normal(0.34 + 0.18 * (traits.pallor - 0.4), 0.06), 0.16, 0.6)),
        pallor_at=(float(rng.normal(0, 0.06) * radius), float(rng.normal(0, 0.06) * radius)),
        pallor_stretch=(abs(float(rng.normal(0, 0.15))), float(rng.uniform(0, np.pi))),
        target=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.015 else 0.0,
        sharp=traits.sharp_pallor != (rng.random() < 0.2),
        rim=traits.red_rim * float(rng.uniform(0.7, 1.3)),
        lift=float(np.clip(rng.normal(traits.red_lift, 0.3), -1.2, 1.2)),
    )


def _press(reds: list[RedCell]) -> None:
    """Flatten red cells against each other where they touch; those that really overlap keep their shape."""
    if len(reds) < 2:
        return
    x, y = np.array([red.x for red in reds]), np.array([red.y for red in reds])
    r = np.array([float(red.edge.mean()) for red in reds])
    gap = np.hypot(x[:, None] - x, y[:, None] - y) / (r[:, None] + r)
    for one, other in zip(*np.nonzero((gap > 0.78) & (gap < 1.0)), strict=True):
        dx, dy = x[other] - x[one], y[other] - y[one]
        reds[one].edge = dent(reds[one].edge, float(dx), float(dy), float(r[other]), 0.55)


def compose(kinds: list[str], traits: Traits, seed: int, *, smudges: float) -> Scene:
    """Place a field's nucleated cells, about `smudges` smudge cells, and the red cells around them."""
    rng = np.random.default_rng([seed, 1])
    burst = [SMUDGE] * min(5, int(rng.poisson(smudges)))
    whites = _place_whites([*kinds, *burst], traits, rng)
    solid = [white for white in whites if white.recipe is not None]
    reds = [_make_red(x, y, r, solid, traits, rng) for x, y, r in _red_centres(whites, traits, rng)]
    _press(reds)
    discs = [(red.x, red.y, float(red.edge.mean())) for red in reds]
    for white in whites:
        if white.recipe is not None and white.recipe.yields:
            for disc in discs:
                white.edge = _yield(white.edge, white.x, white.y, *disc, white.recipe.yields)
    return Scene(tuple(whites), tuple(reds), traits, seed)


def _scattered(count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    return [(float(rng.uniform(0, FIELD_UM[0])), float(rng.uniform(0, FIELD_UM[1]))) for _ in range(count)]


def paint(canvas: Canvas, scene: Scene, softness_um: float) -> None:
    """Add the whole scene's absorbance to a canvas."""
    rng = np.random.default_rng([scene.seed, 2])
    canvas.stains = canvas.stains * np.asarray(scene.traits.stain_gain, dtype=np.float32)
    film = cloud((canvas.height_px, canvas.width_px), FIELD_UM[0], (float(rng.random()), float(rng.random())))
    haze = np.float32(scene.traits.plasma) * (np.float32(1) + np.float32(0.22) * film)
    for channel, level in enumerate(canvas.stains[Stain.PINK] + canvas.stains[Stain.BLUE]):
        canvas.density[channel] += haze * level
    for red in scene.reds:
        draw_red_cell(canvas, red, softness_um)
    stain_red_cells(canvas, scene.traits.squeeze)
    for white in scene.whites:
        own = np.random.default_rng([white.seed, 3])
        if white.recipe is None:
            draw_smudge(canvas, white.x, white.y, white.radius, own)
        else:
            draw_white_cell(canvas, white.x, white.y, white.recipe, own, white.edge)
    for x, y in _scattered(int(rng.poisson(scene.traits.platelets)), rng):
        radius = float(np.clip(rng.lognormal(np.log(1.15), 0.25), 0.6, 2.6))
        draw_platelet(canvas, x, y, radius, rng)
    for x, y in _scattered(int(rng.poisson(scene.traits.precipitate)), rng):
        draw_precipitate(canvas, x, y, float(rng.uniform(1, 5)), int(rng.integers(4, 60)), rng)
    for x, y in _scattered(int(rng.poisson(4 + 9 * scene.traits.precipitate)), rng):
        stain = Stain.AZURE if rng.random() < 0.7 else Stain.DARK
        draw_speck(canvas, x, y, float(rng.uniform(0.1, 0.42)), float(rng.uniform(0.1, 0.6)), stain, rng)
    for x, y in _scattered(int(rng.poisson(0.7)), rng):
        draw_speck(canvas, x, y, float(rng.uniform(0.3, 0.7)), -0.12, Stain.DARK, rng)
