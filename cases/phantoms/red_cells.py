"""Red cells, drawn by a profile over the relative radius: one table look-up per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Canvas, directions, soft_step
from .styles import Stain
from .texture import FloatArray

_STEPS = 320
_REACH = 1.25  # the profile ends here, in radii


@dataclass
class RedCell:
    """One erythrocyte; lengths in micrometres.

    Attributes:
        edge: outline by angle.
        pallor: share of density missing in the middle, 0 (spherocyte) to 1.
        pallor_width: relative radius of the pale centre.
        haemoglobin: relative density.
        pallor_at: where the pale centre lies.
        pallor_stretch: elongation and direction (radians) of the pale centre.
        sharp: the pale centre has a crisp edge.
        rim: extra density along the edge.
        lift: how far out of focus, -1 to 1 or so: the edge softens, its bright halo grows or turns dark.
        target: a dark spot inside the pale centre (codocyte), 0 to 1.
    """

    x: float
    y: float
    edge: FloatArray
    haemoglobin: float
    pallor: float
    pallor_width: float
    pallor_at: tuple[float, float]
    pallor_stretch: tuple[float, float]
    target: float
    sharp: bool
    rim: float
    lift: float


def tear(edge: FloatArray, length: float, towards: float) -> FloatArray:
    """A dacrocyte's outline: one drawn-out tip."""
    away = np.abs((directions() - towards + np.pi) % (2 * np.pi) - np.pi)
    return np.asarray(edge * (0.94 + length * np.exp(-away / 0.28)), dtype=np.float32)


def crenate(edge: FloatArray, spikes: int, height: float, phase: float) -> FloatArray:
    """An echinocyte's outline: regular short spikes."""
    wave = np.maximum(np.cos(spikes * directions() + phase), 0.0) ** 2
    return np.asarray(edge * (1 + height * (wave - 0.4)), dtype=np.float32)


def _rim_profile(radius_um: float, softness_um: float, strength: float, lift: float) -> FloatArray:
    """Density over relative radius without the pallor: plateau, denser rim, thin bright halo outside."""
    rho = np.linspace(0, _REACH, _STEPS, dtype=np.float32)
    body = soft_step((1 - rho) * np.float32(radius_um), softness_um)
    rim = strength * np.exp(-(((rho - 0.91) / 0.065) ** 2))
    shoulder = 0.12 * np.exp(-(((rho - 0.72) / 0.20) ** 2))
    halo = (-0.6 - 0.9 * lift) * strength * np.exp(-(((rho - 1.085) / 0.045) ** 2))
    return np.asarray(body * (0.90 + rim + shoulder) + halo, dtype=np.float32)


def draw_red_cell(canvas: Canvas, cell: RedCell, softness_um: float) -> None:
    radius = float(cell.edge.mean())
    patch = canvas.patch(cell.x, cell.y, float(cell.edge.max()) * _REACH)
    if patch is None:
        return
    scale = np.float32(_STEPS / _REACH) / cell.edge
    steps = np.minimum(patch.distance * scale[patch.angle], _STEPS - 1).astype(np.int16)
    profile = _rim_profile(radius, softness_um * (1 + abs(cell.lift)), cell.rim, cell.lift)
    profile[-1] = 0.0
    density = profile[steps]
    if cell.pallor > 0.02:
        dx = patch.x - np.float32(cell.pallor_at[0])
        dy = patch.y - np.float32(cell.pallor_at[1])
        stretch, turn = cell.pallor_stretch
        size = 1 / (cell.pallor_width * radius) ** 2
        along, across = size / (1 + stretch) ** 2, size * (1 + stretch) ** 2
        cos2, sin2 = np.cos(2 * turn) / 2, np.sin(2 * turn)
        mean, half = (along + across) / 2, along - across
        relative = dx * dx * np.float32(mean + half * cos2) + dy * dy * np.float32(mean - half * cos2)
        relative += dx * dy * np.float32(half * sin2)
        fall = relative * relative
        if cell.sharp:
            fall *= fall
        hollow = np.float32(cell.pallor) / (1 + fall)
        if cell.target:
            hollow -= np.float32(cell.pallor * cell.target) * np.exp(-relative * 5)
        density = np.asarray(density * (1 - hollow), dtype=np.float32)
    canvas.haemoglobin[patch.rows, patch.columns] += density * np.float32(cell.haemoglobin)


def stain_red_cells(canvas: Canvas, squeeze: float) -> None:
    """Turn the haemoglobin of all red cells into density. Where cells pile up they are squeezed thinner."""
    pile = np.maximum(canvas.haemoglobin - np.float32(1.05), 0)
    pile *= np.float32(squeeze)
    layer = canvas.haemoglobin - pile
    for channel in range(3):
        canvas.density[channel] += layer * canvas.stains[Stain.RED_CELL, channel]
