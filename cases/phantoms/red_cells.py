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
        target: a dark spot inside the pale centre (codocyte), 0 to 1.
    """

    x: float
    y: float
    edge: FloatArray
    haemoglobin: float
    pallor: float
    pallor_width: float
    pallor_at: tuple[float, float]
    target: float


def crenate(edge: FloatArray, spikes: int, height: float, phase: float) -> FloatArray:
    """An echinocyte's outline: regular short spikes."""
    wave = np.maximum(np.cos(spikes * directions() + phase), 0.0) ** 2
    return np.asarray(edge * (1 + height * (wave - 0.4)), dtype=np.float32)


def _rim_profile(radius_um: float, softness_um: float) -> FloatArray:
    """Density over relative radius without the pallor: plateau, denser rim, thin bright halo outside."""
    rho = np.linspace(0, _REACH, _STEPS, dtype=np.float32)
    body = soft_step((1 - rho) * np.float32(radius_um), softness_um)
    rim = 0.16 * np.exp(-(((rho - 0.90) / 0.075) ** 2))
    shoulder = 0.12 * np.exp(-(((rho - 0.72) / 0.20) ** 2))
    halo = -0.10 * np.exp(-(((rho - 1.085) / 0.045) ** 2))
    return np.asarray(body * (0.90 + rim + shoulder) + halo, dtype=np.float32)


def draw_red_cell(canvas: Canvas, cell: RedCell, softness_um: float) -> None:
    radius = float(cell.edge.mean())
    patch = canvas.patch(cell.x, cell.y, float(cell.edge.max()) * _REACH)
    if patch is None:
        return
    scale = np.float32(_STEPS / _REACH) / cell.edge
    steps = np.minimum(patch.distance * scale[patch.angle], _STEPS - 1).astype(np.int16)
    profile = _rim_profile(radius, softness_um)
    profile[-1] = 0.0
    density = profile[steps]
    if cell.pallor > 0.02:
        dx = patch.x - np.float32(cell.pallor_at[0])
        dy = patch.y - np.float32(cell.pallor_at[1])
        relative = (dx * dx + dy * dy) * np.float32(1 / (cell.pallor_width * radius) ** 2)
        hollow = np.float32(cell.pallor) / (1 + relative * relative)
        if cell.target:
            hollow -= np.float32(cell.pallor * cell.target) * np.exp(-relative * 5)
        density = density * (1 - hollow)
    canvas.haemoglobin[patch.rows, patch.columns] += density * np.float32(cell.haemoglobin)


def stain_red_cells(canvas: Canvas) -> None:
    """Turn the haemoglobin of all red cells into density. Where cells pile up they are squeezed thinner."""
    pile = np.maximum(canvas.haemoglobin - np.float32(1.1), 0)
    pile *= np.float32(0.4)
    layer = canvas.haemoglobin - pile
    for channel in range(3):
        canvas.density[channel] += layer * canvas.stains[Stain.RED_CELL, channel]
