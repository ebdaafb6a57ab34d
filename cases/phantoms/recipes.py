"""What each kind of nucleated cell looks like, as numbers.

A recipe is drawn from the cell's own random generator and the patient's traits; `white_cells` turns it into pixels.
Lengths in micrometres, concentrations in the units of `styles`.
Morphology after the usual descriptions of May-Grünwald-Giemsa films (ICSH grading, Palmer 2015, DOI 10.1111/ijlh.12327).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .styles import Stain

Generator = np.random.Generator


@dataclass
class Nucleus:
    """A smooth union of ellipses (x, y, a, b, turn) less bites (x, y, radius), with its chromatin."""

    lobes: list[tuple[float, float, float, float, float]]
    bites: list[tuple[float, float, float]] = field(default_factory=list)
    blend: float = 0.8
    rough: float = 0.10  # how far the membrane wanders
    density: float = 0.85
    fine: float = 0.10  # contrast of fine (open) chromatin
    medium: float = 0.10
    clumps: float = 0.0  # contrast of coarse, sharp-edged clumps
    nucleoli: list[tuple[float, float, float]] = field(default_factory=list)
    nucleolus_contrast: float = 0.4


@dataclass
class Granules:
    """Coarse granules: `count` in the whole cell, each about `size` across."""

    stain: Stain
    count: int
    size: float
    depth: float
    over_nucleus: float = 0.3


@dataclass
class CellRecipe:
    radius: float
    nucleus: Nucleus
    blue: float = 0.1
    pink: float = 0.1
    dust: tuple[Stain, float] | None = None  # fine granules: stain, strength
    granules: list[Granules] = field(default_factory=list)
    hof: tuple[float, float, float, float] | None = None  # pale zone: x, y, radius, share of blue removed
    vacuoles: list[tuple[float, float, float]] = field(default_factory=list)
    rods: list[tuple[float, float, float, float]] = field(
        default_factory=list
    )  # Auer rods: x, y, length, turn
    rim: float = 0.0  # denser edge of the cytoplasm
    mottle: float = 0.15
    stretch: float = 0.04
    wobble: float = 0.03
    ragged: float = 0.0
    yields: float = 0.0  # how far neighbouring red cells press it in


def _scatter(rng: Generator, count: int, reach: float) -> list[tuple[float, float]]:
    turn, distance = rng.uniform(0, 2 * np.pi, count), reach * np.sqrt(rng.random(count))
    return [(float(d * np.cos(t)), float(d * np.sin(t))) for t, d in zip(turn, distance, strict=True)]


def _lobed(rng: Generator, radius: float, lobes: int, size: float) -> Nucleus:
    """Lobes along a bent path, joined by thin threads."""
    turn, sweep = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.35) * np.pi
    bend = radius * rng.uniform(0.36, 0.48)
    parts = []
    centres = []
    for step in range(lobes):
        angle = turn + sweep * (step / (lobes - 1) - 0.5) + rng.normal(0, 0.10)
        away = bend * rng.uniform(0.85, 1.2)
        centres.append((away * np.cos(angle), away * np.sin(angle), angle))
    for x, y, angle in centres:
        a = size * rng.uniform(0.82, 1.2)
        parts.append(
            (
                float(x),
                float(y),
                float(a),
                float(a * rng.uniform(0.68, 0.95)),
                float(angle + rng.normal(np.pi / 2, 0.4)),
            )
        )
    for (x0, y0, _), (x1, y1, _) in zip(centres, centres[1:], strict=False):
        length = float(np.hypot(x1 - x0, y1 - y0))
        thread = size * rng.uniform(0.16, 0.34)
        parts.append(((x0 + x1) / 2, (y0 + y1) / 2, length / 2, thread, float(np.arctan2(y1 - y0, x1 - x0))))
    return Nucleus(parts, blend=0.5, rough=0.13, density=0.98, fine=0.05, medium=0.16, clumps=0.26)


def _bent(rng: Generator, radius: float, thickness: float, sweep: float, bend: float) -> Nucleus:
    """A sausage along an arc: band cell, metamyelocyte, monocyte."""
    turn, count = rng.uniform(0, 2 * np.pi), 7
    parts = []
    for step in range(count):
        share = step / (count - 1)
        angle = turn + sweep * (share - 0.5)
        ends = 1.0 + 0.12 * (2 * share - 1) ** 2 + rng.normal(0, 0.05)
        x, y = radius * bend * np.cos(angle), radius * bend * np.sin(angle)
        parts.append((float(x), float(y), float(thickness * ends), float(thickness * ends), 0.0))
    shift = bend * radius * 0.45
    parts = [(x - shift * np.cos(turn), y - shift * np.sin(turn), a, b, t) for x, y, a, b, t in parts]
    return Nucleus(parts, blend=0.9, rough=0.15, density=0.9, medium=0.14, clumps=0.18)


def _round(
    rng: Generator, radius: float, share: float, *, stretch: float = 0.1, push: float = 0.1
) -> Nucleus:
    """A round or oval nucleus; `share` is its radius over the cell's, `push` how far it sits off centre."""
    r = radius * share
    a, turn = 1 + rng.uniform(0, stretch), rng.uniform(0, 2 * np.pi)
    away = min(radius * push * rng.uniform(0.3, 1.2), radius * 0.97 - r * a) if radius * 0.97 > r * a else 0.0
    direction = rng.uniform(0, 2 * np.pi)
    return Nucleus([(float(away * np.cos(direction)), float(away * np.sin(direction)), r * a, r / a, turn)])


def neutrophil(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(6.5, 0.35)
    lobes = int(rng.choice([2, 3, 4, 5], p=[0.16, 0.42, 0.32, 0.10]))
    nucleus = _lobed(rng, radius, lobes, radius * {2: 0.37, 3: 0.32, 4: 0.285, 5: 0.26}[lobes])
    return CellRecipe(radius, nucleus, blue=0.03, pink=0.26, dust=(Stain.AZURE, 0.13), rim=0.1, mottle=0.2)


def band(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(6.6, 0.35)
    nucleus = _bent(rng, radius, radius * rng.uniform(0.24, 0.30), rng.uniform(1.0, 1.35) * np.pi, 0.46)
    nucleus.clumps = 0.22
    return CellRecipe(radius, nucleus, blue=0.05, pink=0.26, dust=(Stain.AZURE, 0.14), rim=0.1)


def eosinophil(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(6.9, 0.35)
    nucleus = _lobed(rng, radius, int(rng.choice([2, 2, 2, 3])), radius * 0.36)
    nucleus.density = 0.85
    granules = [Granules(Stain.ORANGE, int(rng.integers(150, 210)), 0.95, 0.85, 0.12)]
    return CellRecipe(radius, nucleus, blue=0.08, pink=0.16, granules=granules)


def basophil(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(6.1, 0.3)
    nucleus = _lobed(rng, radius, int(rng.choice([2, 3])), radius * 0.42)
    nucleus.density, nucleus.blend, nucleus.clumps = 0.7, 1.6, 0.1
    granules = [Granules(Stain.DARK, int(rng.integers(45, 90)), 0.85, 0.8, 0.75)]
    return CellRecipe(radius, nucleus, blue=0.12, pink=0.12, granules=granules)


def monocyte(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(8.4, 0.6)
    if rng.random() < 0.6:
        nucleus = _bent(rng, radius, radius * rng.uniform(0.36, 0.42), rng.uniform(0.55, 0.9) * np.pi, 0.36)
    else:
        nucleus = _round(rng, radius, 0.66, stretch=0.2, push=0.25)
        turn = rng.uniform(0, 2 * np.pi)
        nucleus.bites = [
            (float(radius * 0.75 * np.cos(turn)), float(radius * 0.75 * np.sin(turn)), radius * 0.3)
        ]
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        0.66,
        0.10,
        0.17,
        0.10,
        0.22,
    )
    vacuoles = [
        (x, y, float(rng.uniform(0.3, 0.75)))
        for x, y in _scatter(rng, int(rng.integers(0, 9)), radius * 0.88)
    ]
    return CellRecipe(
        radius,
        nucleus,
        blue=0.40,
        pink=0.13,
        dust=(Stain.AZURE, 0.08),
        vacuoles=vacuoles,
        mottle=0.22,
        stretch=0.07,
        wobble=0.07,
        ragged=0.012,
        yields=0.4,
    )


def lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    large = rng.random() < 0.25
    radius = scale * (rng.normal(6.3, 0.4) if large else rng.normal(4.7, 0.25))
    nucleus = _round(rng, radius, 0.70 if large else rng.uniform(0.82, 0.89), stretch=0.1, push=0.3)
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        0.98,
        0.05,
        0.12,
        0.16,
        0.12,
    )
    if rng.random() < 0.35:
        turn = rng.uniform(0, 2 * np.pi)
        nucleus.bites = [(float(radius * np.cos(turn)), float(radius * np.sin(turn)), radius * 0.22)]
    granules = [Granules(Stain.AZURE, int(rng.integers(4, 12)), 0.45, 0.55, 0.0)] if large else []
    return CellRecipe(
        radius, nucleus, blue=0.42 if large else 0.6, pink=0.05, granules=granules, mottle=0.1, wobble=0.04
    )


def reactive_lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(8.8, 0.7)
    nucleus = _round(rng, radius, rng.uniform(0.50, 0.60), stretch=0.25, push=0.45)
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        0.82,
        0.08,
        0.16,
        0.16,
        0.25,
    )
    if rng.random() < 0.4:
        x, y, a, _, _ = nucleus.lobes[0]
        nucleus.nucleoli = [
            (x + float(rng.normal(0, a / 3)), y + float(rng.normal(0, a / 3)), float(rng.uniform(0.5, 0.8)))
        ]
    vacuoles = [
        (x, y, float(rng.uniform(0.3, 0.5))) for x, y in _scatter(rng, int(rng.integers(0, 3)), radius * 0.85)
    ]
    return CellRecipe(
        radius,
        nucleus,
        blue=rng.uniform(0.45, 0.7),
        pink=0.04,
        vacuoles=vacuoles,
        rim=0.7,
        mottle=0.14,
        stretch=0.10,
        wobble=0.13,
        ragged=0.015,
        yields=1.0,
    )


def myeloblast(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(7.8, 0.6)
    nucleus = _round(rng, radius, rng.uniform(0.76, 0.85), stretch=0.18, push=0.6)
    x, y, a, _, _ = nucleus.lobes[0]
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.rough = rng.uniform(0.62, 0.74), 0.13, 0.09, 0.16
    nucleus.nucleoli = [
        (x + px, y + py, float(rng.uniform(0.65, 1.15)))
        for px, py in _scatter(rng, int(rng.integers(1, 5)), a * 0.6)
    ]
    nucleus.nucleolus_contrast = 0.5
    if rng.random() < 0.25:
        turn = rng.uniform(0, 2 * np.pi)
        nucleus.bites = [(float(x + a * 1.15 * np.cos(turn)), float(y + a * 1.15 * np.sin(turn)), a * 0.42)]
    recipe = CellRecipe(
        radius,
        nucleus,
        blue=rng.uniform(0.45, 0.65),
        pink=0.05,
        mottle=0.14,
        stretch=0.07,
        wobble=0.05,
        rim=0.25,
    )
    if rng.random() < 0.4:
        recipe.granules = [Granules(Stain.AZURE, int(rng.integers(5, 20)), 0.4, 0.5, 0.1)]
    if rng.random() < 0.22:
        turn = rng.uniform(0, 2 * np.pi)
        recipe.rods = [
            (
                float(radius * 0.83 * np.cos(turn)),
                float(radius * 0.83 * np.sin(turn)),
                float(rng.uniform(2.2, 4.2)),
                turn + np.pi / 2,
            )
        ]
    return recipe


def lymphoblast(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * float(np.clip(rng.normal(5.9, 0.6), 4.8, 7.6))
    nucleus = _round(rng, radius, rng.uniform(0.88, 0.93), stretch=0.1, push=0.3)
    x, y, a, _, _ = nucleus.lobes[0]
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        rng.uniform(0.82, 0.92),
        0.10,
        0.10,
        0.04,
        0.14,
    )
    if rng.random() < 0.5:
        nucleus.nucleoli = [
            (x + px, y + py, float(rng.uniform(0.4, 0.65))) for px, py in _scatter(rng, 1, a * 0.5)
        ]
        nucleus.nucleolus_contrast = 0.22
    if rng.random() < 0.4:  # a cleft
        turn = rng.uniform(0, 2 * np.pi)
        nucleus.bites = [(float(x + a * 1.02 * np.cos(turn)), float(y + a * 1.02 * np.sin(turn)), a * 0.2)]
    vacuoles = [
        (px, py, float(rng.uniform(0.25, 0.4)))
        for px, py in _scatter(rng, int(rng.integers(0, 2)), radius * 0.85)
    ]
    return CellRecipe(
        radius,
        nucleus,
        blue=rng.uniform(0.55, 0.75),
        pink=0.03,
        vacuoles=vacuoles,
        mottle=0.1,
        stretch=0.05,
        wobble=0.05,
    )


def abnormal_promyelocyte(rng: Generator, scale: float) -> CellRecipe:
    """The cell of APML: bilobed or kidney-shaped nucleus, packed azurophil granules, bundles of Auer rods."""
    radius = scale * rng.normal(8.8, 0.6)
    if rng.random() < 0.65:
        turn, apart = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.34, 0.44)
        lobes = [
            (
                float(s * apart * np.cos(turn)),
                float(s * apart * np.sin(turn)),
                radius * rng.uniform(0.42, 0.5),
                radius * rng.uniform(0.36, 0.44),
                float(turn + np.pi / 2 + rng.normal(0, 0.3)),
            )
            for s in (-1.0, 1.0)
        ]
        nucleus = Nucleus(lobes, blend=1.2)
    else:
        nucleus = _bent(rng, radius, radius * 0.42, 0.6 * np.pi, 0.36)
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = 0.70, 0.12, 0.10, 0.04, 0.2
    rods = []
    if rng.random() < 0.4:
        ((x, y),) = _scatter(rng, 1, radius * 0.6)
        turn = rng.uniform(0, np.pi)
        for _ in range(int(rng.integers(2, 7))):
            rods.append(
                (
                    x + float(rng.normal(0, 0.8)),
                    y + float(rng.normal(0, 0.8)),
                    float(rng.uniform(2.5, 4.5)),
                    turn + float(rng.normal(0, 0.35)),
                )
            )
    granules = [Granules(Stain.AZURE, int(rng.integers(160, 320)), 0.5, 0.7, 0.55)]
    return CellRecipe(
        radius,
        nucleus,
        blue=0.30,
        pink=0.16,
        dust=(Stain.AZURE, 0.22),
        granules=granules,
        rods=rods,
        mottle=0.2,
        stretch=0.08,
        wobble=0.07,
        ragged=0.01,
    )


def myelocyte(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(7.4, 0.5)
    nucleus = _round(rng, radius, rng.uniform(0.56, 0.66), stretch=0.18, push=0.9)
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        0.84,
        0.08,
        0.15,
        0.14,
        0.16,
    )
    granules = [Granules(Stain.AZURE, int(rng.integers(20, 60)), 0.4, 0.4, 0.3)]
    return CellRecipe(
        radius,
        nucleus,
        blue=0.20,
        pink=0.22,
        dust=(Stain.AZURE, 0.17),
        granules=granules,
        mottle=0.2,
        wobble=0.04,
    )


def metamyelocyte(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(7.0, 0.4)
    nucleus = _bent(rng, radius, radius * rng.uniform(0.32, 0.38), rng.uniform(0.6, 0.85) * np.pi, 0.38)
    nucleus.clumps = 0.18
    return CellRecipe(radius, nucleus, blue=0.08, pink=0.25, dust=(Stain.AZURE, 0.15), mottle=0.2)


def cll_lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    radius = scale * rng.normal(4.9, 0.25)
    nucleus = _round(rng, radius, rng.uniform(0.86, 0.92), stretch=0.08, push=0.3)
    nucleus.density, nucleus.fine, nucleus.medium, nucleus.clumps, nucleus.rough = (
        0.92,
        0.03,
        0.06,
        0.42,
        0.10,
    )
    return CellRecipe(radius, nucleus, blue=0.42, pink=0.05, mottle=0.1, wobble=0.03, stretch=0.04)


RECIPES: dict[str, Callable[[Generator, float], CellRecipe]] = {
    function.__name__: function
    for function in (
        neutrophil,
        band,
        eosinophil,
        basophil,
        monocyte,
        lymphocyte,
        reactive_lymphocyte,
        myeloblast,
        lymphoblast,
        abnormal_promyelocyte,
        myelocyte,
        metamyelocyte,
        cll_lymphocyte,
    )
}
