"""Small probability tables for the rule tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classes import MODEL_1, MODEL_2, MODEL_3


def rows(names: tuple[str, ...], labels: list[str], confidence: float = 0.9) -> NDArray[np.float64]:
    """One row a label: ``confidence`` for it, the rest shared equally."""
    p = np.full((len(labels), len(names)), (1 - confidence) / (len(names) - 1))
    p[range(len(labels)), [names.index(label) for label in labels]] = confidence
    return p


def slide(
    one: list[str], two: list[str] | None = None, three: list[str] | None = None
) -> dict[str, NDArray[np.float64] | None]:
    return {
        "model_1": rows(MODEL_1, one),
        "model_2": None if two is None else rows(MODEL_2, two),
        "model_3": None if three is None else rows(MODEL_3, three),
    }
