"""Every kind of nucleated cell by name. Smudge cells are no recipe: nothing of their shape is left."""

from __future__ import annotations

from collections.abc import Callable

from . import lymphoid, myeloid
from .recipes import CellRecipe, Generator

SMUDGE = "smudge_cell"

RECIPES: dict[str, Callable[[Generator, float], CellRecipe]] = {
    "neutrophil": myeloid.neutrophil,
    "band": myeloid.band,
    "eosinophil": myeloid.eosinophil,
    "basophil": myeloid.basophil,
    "monocyte": myeloid.monocyte,
    "myeloblast": myeloid.myeloblast,
    "monoblast": myeloid.monoblast,
    "abnormal_promyelocyte": myeloid.abnormal_promyelocyte,
    "myelocyte": myeloid.myelocyte,
    "metamyelocyte": myeloid.metamyelocyte,
    "erythroblast": myeloid.erythroblast,
    "lymphocyte": lymphoid.lymphocyte,
    "reactive_lymphocyte": lymphoid.reactive_lymphocyte,
    "lymphoblast": lymphoid.lymphoblast,
    "cll_lymphocyte": lymphoid.cll_lymphocyte,
    "prolymphocyte": lymphoid.prolymphocyte,
}
