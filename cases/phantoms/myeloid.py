"""Granulocytes, their precursors and monocytes.

Morphology after the ICSH recommendations for grading blood cells (Palmer et al. 2015, DOI 10.1111/ijlh.12327).
Every function takes the cell's generator and the patient's size factor.
"""

from __future__ import annotations

import numpy as np

from .recipes import CellRecipe, Generator, Granules, Nucleus, around, bent, holes, lobed, rounded, scatter
from .styles import Stain


def neutrophil(rng: Generator, scale: float) -> CellRecipe:
    """3 to 5 dense lobes (some 2), fine pink granules."""
    radius = scale * rng.normal(6.6, 0.35)
    lobes = int(rng.choice([2, 3, 4, 5], p=[0.12, 0.42, 0.34, 0.12]))
    nucleus = lobed(rng, radius, lobes, radius * {2: 0.42, 3: 0.36, 4: 0.315, 5: 0.28}[lobes])
    return CellRecipe(radius, nucleus, blue=0.05, pink=0.34, dust=0.15, rim=0.12, mottle=0.16, wobble=0.045)


def band(rng: Generator, scale: float) -> CellRecipe:
    """A neutrophil whose nucleus is still one bent band."""
    radius = scale * rng.normal(6.7, 0.35)
    nucleus = bent(rng, radius, radius * rng.uniform(0.25, 0.31), rng.uniform(1.0, 1.4) * np.pi, 0.48)
    return CellRecipe(radius, nucleus, blue=0.06, pink=0.34, dust=0.16, rim=0.12, wobble=0.045)


def eosinophil(rng: Generator, scale: float) -> CellRecipe:
    """Two lobes, packed coarse orange granules."""
    radius = scale * rng.normal(6.9, 0.35)
    nucleus = lobed(rng, radius, int(rng.choice([2, 2, 2, 3])), radius * 0.40)
    nucleus.density = 0.85
    granules = [Granules(Stain.ORANGE, int(radius * radius * 5), 0.66, 0.95, 0.12, packed=True)]
    return CellRecipe(radius, nucleus, blue=0.05, pink=0.45, granules=granules, wobble=0.045)


def basophil(rng: Generator, scale: float) -> CellRecipe:
    """A pale, poorly seen nucleus under coarse violet-black granules."""
    radius = scale * rng.normal(6.1, 0.3)
    nucleus = lobed(rng, radius, int(rng.choice([2, 3])), radius * 0.45)
    nucleus.chromatin(0.66, fine=0.04, medium=0.06, clumps=0.05, rough=0.2).blend = 1.6
    granules = [
        Granules(Stain.DARK, int(rng.integers(40, 80)), 0.85, 1.0, 0.65),
        Granules(Stain.DARK, int(rng.integers(15, 40)), 0.55, 0.6, 0.5),
    ]
    return CellRecipe(radius, nucleus, blue=0.10, pink=0.28, granules=granules, wobble=0.04)


def monocyte(rng: Generator, scale: float) -> CellRecipe:
    """Large, kidney-shaped nucleus with lacy chromatin, grey-blue ground-glass cytoplasm, some vacuoles."""
    radius = scale * rng.normal(8.4, 0.6)
    if rng.random() < 0.65:
        nucleus = bent(rng, radius, radius * rng.uniform(0.36, 0.42), rng.uniform(0.5, 0.9) * np.pi, 0.36)
    else:
        nucleus = rounded(rng, radius, 0.66, stretch=0.2, push=0.6)
        nucleus.bites = [(*around(rng, radius * 0.72), radius * 0.28)]
    nucleus.chromatin(0.68, fine=0.07, medium=0.13, clumps=0.12, rough=0.32).wide = 0.12
    vacuoles = holes(rng, int(rng.integers(0, 9)), radius * 0.88, 0.3, 0.75)
    return CellRecipe(
        radius, nucleus, blue=0.42, pink=0.22, dust=0.06, vacuoles=vacuoles, mottle=0.2, rim=0.1,
        stretch=0.08, wobble=0.09, ragged=0.012, yields=0.5,
    )  # fmt: skip


def myeloblast(rng: Generator, scale: float) -> CellRecipe:
    """Large, fine chromatin, several nucleoli, little cytoplasm, at times a few granules or an Auer rod."""
    radius = scale * float(np.clip(rng.normal(7.9, 0.8), 6.0, 10.0))
    nucleus = rounded(rng, radius, rng.uniform(0.76, 0.87), stretch=0.16, push=0.8)
    nucleus.chromatin(rng.uniform(0.66, 0.80), fine=0.10, medium=0.07, clumps=0.03, rough=0.17).wide = 0.10
    x, y, a, _, _ = nucleus.lobes[0]
    places = scatter(rng, int(rng.integers(1, 5)), a * 0.6)
    nucleus.nucleoli = [(x + px, y + py, float(rng.uniform(0.7, 1.35))) for px, py in places]
    nucleus.nucleolus_contrast = rng.uniform(0.26, 0.42)
    if rng.random() < 0.3:  # folded or notched
        nx, ny = around(rng, a * 1.15)
        nucleus.bites = [(x + nx, y + ny, a * rng.uniform(0.25, 0.45))]
    recipe = CellRecipe(
        radius,
        nucleus,
        blue=rng.uniform(0.45, 0.75),
        pink=0.14,
        mottle=0.16,
        rim=0.3,
        stretch=0.08,
        wobble=0.07,
    )
    if rng.random() < 0.3:
        nucleus.folds = float(rng.uniform(0.06, 0.16))
    recipe.hof = (-x * 1.6, -y * 1.6, radius * 0.35, 0.45)
    if rng.random() < 0.4:
        recipe.granules = [Granules(Stain.AZURE, int(rng.integers(5, 20)), 0.4, 0.45, 0.1)]
    if rng.random() < 0.22:
        rx, ry = around(rng, radius * 0.86)
        recipe.rods = [(rx, ry, float(rng.uniform(2.2, 4.2)), float(np.arctan2(ry, rx) + np.pi / 2))]
    return recipe


def monoblast(rng: Generator, scale: float) -> CellRecipe:
    """Larger than a myeloblast, folded or indented nucleus, more grey-blue cytoplasm, often with vacuoles."""
    radius = scale * float(np.clip(rng.normal(9.0, 0.8), 7.0, 11.0))
    if rng.random() < 0.5:
        nucleus = bent(rng, radius, radius * rng.uniform(0.44, 0.50), rng.uniform(0.35, 0.7) * np.pi, 0.32)
    else:
        nucleus = rounded(rng, radius, rng.uniform(0.70, 0.78), stretch=0.15, push=0.8)
    nucleus.chromatin(rng.uniform(0.58, 0.72), fine=0.10, medium=0.08, clumps=0.04, rough=0.24)
    nucleus.wide, nucleus.folds = 0.10, float(rng.uniform(0.08, 0.22))
    x, y, a, _, _ = nucleus.lobes[0]
    nx, ny = around(rng, a * 0.3)
    nucleus.nucleoli = [(x + nx, y + ny, float(rng.uniform(0.9, 1.5)))]
    vacuoles = holes(rng, int(rng.integers(0, 6)), radius * 0.88, 0.3, 0.6)
    return CellRecipe(
        radius, nucleus, blue=rng.uniform(0.42, 0.62), pink=0.16, dust=0.05, vacuoles=vacuoles, mottle=0.18, rim=0.2,
        stretch=0.09, wobble=0.10, ragged=0.012, yields=0.4,
    )  # fmt: skip


def erythroblast(rng: Generator, scale: float) -> CellRecipe:
    """A nucleated red cell: small round ink-dark nucleus, grey to pink cytoplasm."""
    radius = scale * rng.normal(4.8, 0.5)
    nucleus = rounded(rng, radius, rng.uniform(0.48, 0.66), stretch=0.06, push=0.7)
    nucleus.chromatin(rng.uniform(1.1, 1.3), fine=0.03, medium=0.06, clumps=0.22, rough=0.08)
    return CellRecipe(
        radius, nucleus, blue=rng.uniform(0.05, 0.4), pink=0.05, red=rng.uniform(0.4, 0.95), mottle=0.06, wobble=0.04
    )


def abnormal_promyelocyte(rng: Generator, scale: float) -> CellRecipe:
    """The cell of APML: bilobed or kidney-shaped nucleus, packed azurophil granules, bundles of Auer rods."""
    radius = scale * rng.normal(8.8, 0.7)
    if rng.random() < 0.65:
        turn, apart = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.34, 0.46)
        nucleus = Nucleus(
            [
                (
                    float(side * apart * np.cos(turn)), float(side * apart * np.sin(turn)),
                    radius * rng.uniform(0.42, 0.52), radius * rng.uniform(0.34, 0.44),
                    float(turn + np.pi / 2 + rng.normal(0, 0.3)),
                )
                for side in (-1.0, 1.0)
            ],
            blend=1.3,
        )  # fmt: skip
    else:
        nucleus = bent(rng, radius, radius * 0.42, 0.6 * np.pi, 0.36)
    nucleus.chromatin(rng.uniform(0.68, 0.8), fine=0.10, medium=0.09, clumps=0.04, rough=0.28)
    granules = [Granules(Stain.AZURE, int(rng.integers(140, 340)), 0.5, rng.uniform(0.45, 0.75), 0.6)]
    recipe = CellRecipe(
        radius, nucleus, blue=0.32, pink=0.28, dust=0.20, granules=granules, mottle=0.2, stretch=0.09, wobble=0.08,
        ragged=0.012, yields=0.3,
    )  # fmt: skip
    if rng.random() < 0.4:
        x, y = around(rng, radius * rng.uniform(0.2, 0.7))
        turn = rng.uniform(0, np.pi)
        for _ in range(int(rng.integers(2, 8))):
            dx, dy, tilt = rng.normal(0, 0.8), rng.normal(0, 0.8), rng.normal(0, 0.35)
            recipe.rods.append((x + float(dx), y + float(dy), float(rng.uniform(2.5, 4.5)), float(turn + tilt)))
    return recipe


def myelocyte(rng: Generator, scale: float) -> CellRecipe:
    """Round or oval nucleus to one side, mixed primary and pink granules."""
    radius = scale * rng.normal(7.5, 0.5)
    nucleus = rounded(rng, radius, rng.uniform(0.58, 0.70), stretch=0.18, push=0.8)
    nucleus.chromatin(rng.uniform(0.82, 0.95), fine=0.07, medium=0.10, clumps=0.14, rough=0.22)
    granules = [Granules(Stain.AZURE, int(rng.integers(20, 70)), 0.4, 0.4, 0.4)]
    return CellRecipe(
        radius,
        nucleus,
        blue=rng.uniform(0.12, 0.28),
        pink=0.32,
        dust=0.17,
        granules=granules,
        mottle=0.2,
        wobble=0.05,
    )


def metamyelocyte(rng: Generator, scale: float) -> CellRecipe:
    """An indented nucleus, pink granules."""
    radius = scale * rng.normal(7.0, 0.4)
    nucleus = bent(rng, radius, radius * rng.uniform(0.32, 0.39), rng.uniform(0.6, 0.9) * np.pi, 0.40)
    return CellRecipe(radius, nucleus, blue=0.08, pink=0.34, dust=0.19, mottle=0.2, wobble=0.045)
