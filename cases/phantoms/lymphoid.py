"""Lymphocytes, normal, reactive and leukemic, and lymphoblasts. Sources and arguments as in `myeloid`."""

from __future__ import annotations

import numpy as np

from .recipes import CellRecipe, Generator, Granules, around, holes, rounded
from .styles import Stain


def lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    """Small: dense round nucleus, thin blue rim. One in four is larger, with more cytoplasm and a few red granules."""
    large = rng.random() < 0.25
    radius = scale * (rng.normal(6.3, 0.4) if large else rng.normal(4.8, 0.3))
    nucleus = rounded(rng, radius, rng.uniform(0.66, 0.74) if large else rng.uniform(0.80, 0.89), push=0.8)
    nucleus.chromatin(rng.uniform(0.95, 1.08), fine=0.04, medium=0.07, clumps=0.12, rough=0.18).wide = 0.10
    if rng.random() < 0.35:
        nucleus.bites = [(*around(rng, radius), radius * 0.22)]
    granules = [Granules(Stain.AZURE, int(rng.integers(4, 12)), 0.45, 0.55, 0.0)] if large else []
    blue = rng.uniform(0.28, 0.45) if large else rng.uniform(0.45, 0.7)
    return CellRecipe(radius, nucleus, blue=blue, pink=0.08, granules=granules, mottle=0.1, wobble=0.06, yields=0.3)


def reactive_lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    """Large, abundant blue cytoplasm that flows around red cells and is darkest where it touches them."""
    radius = scale * rng.normal(9.0, 0.8)
    nucleus = rounded(rng, radius, rng.uniform(0.48, 0.62), stretch=0.25, push=0.6)
    nucleus.chromatin(rng.uniform(0.78, 0.95), fine=0.05, medium=0.10, clumps=0.16, rough=0.35).wide = 0.12
    x, y, a, _, _ = nucleus.lobes[0]
    if rng.random() < 0.35:
        nx, ny = around(rng, a * 0.4)
        nucleus.nucleoli = [(x + nx, y + ny, float(rng.uniform(0.6, 0.9)))]
    if rng.random() < 0.4:
        nx, ny = around(rng, a * 1.1)
        nucleus.bites = [(x + nx, y + ny, a * rng.uniform(0.25, 0.5))]
    vacuoles = holes(rng, int(rng.integers(0, 3)), radius * 0.85, 0.3, 0.5)
    return CellRecipe(
        radius, nucleus, blue=rng.uniform(0.38, 0.75), pink=0.06, vacuoles=vacuoles, rim=0.8, mottle=0.18,
        hof=(x * 0.5, y * 0.5, a * 1.2, 0.35), stretch=0.12, wobble=0.16, ragged=0.02, yields=1.0,
    )  # fmt: skip


def lymphoblast(rng: Generator, scale: float) -> CellRecipe:
    """Small to medium, nucleus fills the cell, even chromatin, nucleoli hardly seen, often a cleft."""
    radius = scale * float(np.clip(rng.normal(6.0, 0.7), 4.8, 8.2))
    nucleus = rounded(rng, radius, rng.uniform(0.87, 0.94), stretch=0.08, push=0.8)
    nucleus.chromatin(rng.uniform(0.84, 1.0), fine=0.06, medium=0.06, clumps=0.06, rough=0.14).wide = 0.13
    x, y, a, _, _ = nucleus.lobes[0]
    if rng.random() < 0.5:
        nx, ny = around(rng, a * 0.4)
        nucleus.nucleoli = [(x + nx, y + ny, float(rng.uniform(0.5, 0.8)))]
        nucleus.nucleolus_contrast = 0.16
    if rng.random() < 0.35:
        nucleus.folds = float(rng.uniform(0.06, 0.18))
    if rng.random() < 0.45:
        nx, ny = around(rng, a * 1.02)
        nucleus.bites = [(x + nx, y + ny, a * rng.uniform(0.12, 0.28))]
    vacuoles = holes(rng, int(rng.integers(0, 2)), radius * 0.85, 0.25, 0.4)
    return CellRecipe(
        radius, nucleus, blue=rng.uniform(0.55, 0.85), pink=0.05, vacuoles=vacuoles, mottle=0.1, stretch=0.06,
        wobble=0.07, yields=0.2,
    )  # fmt: skip


def prolymphocyte(rng: Generator, scale: float) -> CellRecipe:
    """Larger than a CLL lymphocyte, less clumped, with one prominent nucleolus."""
    radius = scale * rng.normal(6.2, 0.4)
    nucleus = rounded(rng, radius, rng.uniform(0.76, 0.86), stretch=0.1, push=0.8)
    nucleus.chromatin(rng.uniform(0.85, 0.95), fine=0.04, medium=0.06, clumps=0.22, rough=0.18)
    x, y, a, _, _ = nucleus.lobes[0]
    nx, ny = around(rng, a * 0.3)
    nucleus.nucleoli, nucleus.nucleolus_contrast = [(x + nx, y + ny, float(rng.uniform(0.8, 1.1)))], 0.45
    return CellRecipe(radius, nucleus, blue=rng.uniform(0.35, 0.55), pink=0.08, mottle=0.1, wobble=0.06, yields=0.2)


def cll_lymphocyte(rng: Generator, scale: float) -> CellRecipe:
    """Small and mature, chromatin in blocks with pale clefts ("soccer ball"), a narrow rim of cytoplasm."""
    radius = scale * rng.normal(5.0, 0.3)
    nucleus = rounded(rng, radius, rng.uniform(0.82, 0.92), stretch=0.08, push=0.8)
    nucleus.chromatin(rng.uniform(0.95, 1.08), fine=0.03, medium=0.05, clumps=0.40, rough=0.16)
    return CellRecipe(radius, nucleus, blue=rng.uniform(0.3, 0.5), pink=0.08, mottle=0.1, wobble=0.05, yields=0.2)
