"""What a nucleated cell is made of, as numbers: the parts that `myeloid` and `lymphoid` put together.

A recipe is drawn from the cell's own random generator; `white_cells` turns it into pixels. Lengths in micrometres on
the slide, positions from the cell's centre, concentrations in the units of `styles`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .styles import Stain

Generator = np.random.Generator
Lobe = tuple[float, float, float, float, float]  # x, y, half-axis a, half-axis b, turn (radians)
Disc = tuple[float, float, float]  # x, y, radius


@dataclass
class Nucleus:
    """A smooth union of ellipses less bites, and how its chromatin looks.

    Attributes:
        blend: how widely neighbouring lobes melt together.
        rough: how far the membrane wanders.
        density: mean chromatin.
        fine, medium, wide: contrast of chromatin texture by size of its grain.
        folds: depth of dark lines where the nucleus is folded over itself.
        clumps: contrast of dark blocks with light clefts between (mature chromatin).
    """

    lobes: list[Lobe]
    bites: list[Disc] = field(default_factory=list)
    blend: float = 0.8
    rough: float = 0.2
    density: float = 0.85
    fine: float = 0.06
    medium: float = 0.08
    wide: float = 0.08
    clumps: float = 0.0
    folds: float = 0.0
    nucleoli: list[Disc] = field(default_factory=list)
    nucleolus_contrast: float = 0.3

    def chromatin(self, density: float, *, fine: float, medium: float, clumps: float, rough: float) -> Nucleus:
        """Set the texture in one go; returns itself."""
        self.density, self.fine, self.medium = density, fine, medium
        self.clumps, self.rough = clumps, rough
        return self


@dataclass
class Granules:
    """Coarse granules, each about `size` across; `packed` ones keep their distance, others lie at random."""

    stain: Stain
    count: int
    size: float
    depth: float
    over_nucleus: float = 0.3
    packed: bool = False


@dataclass
class CellRecipe:
    """One nucleated cell.

    Attributes:
        blue, pink, red: basophilia, eosinophilia and haemoglobin of the cytoplasm.
        dust: strength of fine azurophil or neutrophil granulation.
        hof: pale zone beside the nucleus, (x, y, radius, share of blue removed).
        rods: Auer rods as (x, y, length, turn).
        rim: how much denser the cytoplasm's edge is.
        yields: how far neighbouring red cells press the cell in, 0 to 1.
    """

    radius: float
    nucleus: Nucleus
    blue: float = 0.1
    pink: float = 0.1
    red: float = 0.0
    dust: float = 0.0
    granules: list[Granules] = field(default_factory=list)
    hof: tuple[float, float, float, float] | None = None
    vacuoles: list[Disc] = field(default_factory=list)
    rods: list[tuple[float, float, float, float]] = field(default_factory=list)
    rim: float = 0.0
    mottle: float = 0.15
    stretch: float = 0.04
    wobble: float = 0.03
    ragged: float = 0.0
    yields: float = 0.0


def around(rng: Generator, distance: float) -> tuple[float, float]:
    """A point at a distance in a random direction."""
    turn = rng.uniform(0, 2 * np.pi)
    return float(distance * np.cos(turn)), float(distance * np.sin(turn))


def scatter(rng: Generator, count: int, reach: float) -> list[tuple[float, float]]:
    """Points spread evenly over a disc."""
    return [around(rng, reach * float(np.sqrt(rng.random()))) for _ in range(count)]


def holes(rng: Generator, count: int, reach: float, smallest: float, largest: float) -> list[Disc]:
    """Vacuoles spread over a disc."""
    return [(x, y, float(rng.uniform(smallest, largest))) for x, y in scatter(rng, count, reach)]


def lobed(rng: Generator, radius: float, lobes: int, size: float) -> Nucleus:
    """Lobes along a bent path, joined by thin threads: segmented granulocytes."""
    turn, sweep = rng.uniform(0, 2 * np.pi), rng.uniform(0.95, 1.5) * np.pi
    bend = radius * rng.uniform(0.46, 0.58)
    centres = []
    parts: list[Lobe] = []
    for step in range(lobes):
        angle = turn + sweep * (step / (lobes - 1) - 0.5) + rng.normal(0, 0.10)
        away = bend * rng.uniform(0.8, 1.15)
        a = size * rng.uniform(0.85, 1.25)
        centres.append((away * np.cos(angle), away * np.sin(angle)))
        b = a * rng.uniform(0.66, 0.92)
        parts.append((*centres[-1], float(a), float(b), float(angle + rng.normal(np.pi / 2, 0.5))))
    for (x0, y0), (x1, y1) in pairwise(centres):
        length = float(np.hypot(x1 - x0, y1 - y0))
        thread = size * rng.uniform(0.14, 0.34)
        parts.append(((x0 + x1) / 2, (y0 + y1) / 2, length / 2, thread, float(np.arctan2(y1 - y0, x1 - x0))))
    shape = Nucleus(parts, blend=0.4)
    return shape.chromatin(1.0, fine=0.04, medium=0.10, clumps=0.24, rough=0.16)


def bent(rng: Generator, radius: float, thickness: float, sweep: float, bend: float) -> Nucleus:
    """A sausage along an arc: band cell, metamyelocyte, monocyte."""
    turn, count = rng.uniform(0, 2 * np.pi), 7
    parts: list[Lobe] = []
    shift = bend * radius * 0.45
    for step in range(count):
        share = step / (count - 1)
        angle = turn + sweep * (share - 0.5)
        width = float(thickness * (1.0 + 0.14 * (2 * share - 1) ** 2 + rng.normal(0, 0.05)))
        x = radius * bend * np.cos(angle) - shift * np.cos(turn)
        y = radius * bend * np.sin(angle) - shift * np.sin(turn)
        parts.append((float(x), float(y), width, width, 0.0))
    return Nucleus(parts, blend=0.9).chromatin(0.92, fine=0.05, medium=0.10, clumps=0.18, rough=0.2)


def rounded(rng: Generator, radius: float, share: float, *, stretch: float = 0.1, push: float = 0.1) -> Nucleus:
    """A round or oval nucleus; `share` is its radius over the cell's, `push` how far it sits off centre (0 to 1)."""
    r = radius * share
    a = 1 + rng.uniform(0, stretch)
    room = max(0.0, radius * 0.98 - r * a)
    x, y = around(rng, room * min(1.0, push * float(rng.uniform(0.4, 1.6))))
    return Nucleus([(x, y, r * a, r / a, float(rng.uniform(0, np.pi)))])
