"""The fields on which a model's re-check band is measured where its card brings none (ADR 0103, 0400)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cases.phantoms import LABELS, draw_field, made_up_style
from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.engine import calibrate_margin
from inference.pipeline.preprocess import Recipe

N_FIELDS: Final = 28
_DRAWN_PX: Final = 640


def calibration_fields(recipe: Recipe, n: int = N_FIELDS, *, seed: int = 400) -> NDArray[np.uint8]:
    """(2 n, size_px, size_px, 3) uint8: drawn fields of every label, each by another made-up camera, and ``n`` blends
    of two of them, which lie between the labels where decisions are close.

    Drawn fields and not a laboratory's own: the band is then the same on every installation, and needs no patient.
    """
    drawn = [
        draw_field(LABELS[i % len(LABELS)], seed=seed + i, style=made_up_style(seed + i), width_px=_DRAWN_PX).image
        for i in range(n)
    ]
    fields = np.stack([recipe.prepare(image) for image in drawn])
    rng = np.random.default_rng(seed)
    share = rng.random(n).astype(np.float32)[:, None, None, None]
    other = fields[(np.arange(n) + rng.integers(1, n, n)) % n]
    return np.concatenate([fields, np.rint(fields * (1 - share) + other * share).astype(np.uint8)])


def measure_margin(model: ModelFolder, images: NDArray[np.uint8]) -> float | None:
    """The bf16 re-check margin in logits on ``images`` (n, size_px, size_px, 3); None where this CPU has no bf16."""
    from inference.pipeline.engine_openvino import OpenVinoEngine, cpu_has_bf16

    if not cpu_has_bf16():
        return None
    fast, exact = (OpenVinoEngine(model, precision=p).infer(images).logits for p in ("bf16", "fp32"))
    return round(calibrate_margin(fast, exact), 6)
