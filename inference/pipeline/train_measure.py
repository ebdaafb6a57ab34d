"""How long a training would take, from steps that were really made, on pixels that need no file."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from inference.pipeline.allocator import freed_memory_kept
from inference.pipeline.dataset import ImageSet
from inference.pipeline.train import Trainer
from inference.pipeline.train_memory import fit_to_memory
from inference.pipeline.training_config import TrainingConfig
from inference.pipeline.training_data import INTERNAL, TRAIN, Entry, PartMap

STEPS = 3
FORWARD_SHARE = 1 / 3  # of a step: one forward of the three passes that forward and backward cost


def measure_part(plan: TrainingConfig, part: PartMap, entries: Sequence[Entry], steps: int = STEPS) -> dict[str, Any]:
    """{part, step_s, images_per_s, seconds, memory_gib, accumulate, measured_on}: the median of a few steps after the
    first, and the whole run at that pace with its validations. A quick run is one forward per image."""
    n = {split: sum(entry.split == split for entry in entries) for split in (TRAIN, INTERNAL)}
    size = min(plan.settings.batch_size, n[TRAIN])
    made_up = _noise(size, plan.size_px, part)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = replace(plan.settings, epochs=1, batch_size=max(2, size), class_weights="none", schedule="constant",
                       accumulate=min(plan.settings.accumulate, max(2, size) // 2))  # fmt: skip
    trainer = Trainer(
        made_up, replace(made_up, patients=("nobody else",) * size), architecture=plan.architecture,
        recipe=plan.recipe, settings=settings, device=device,
    )  # fmt: skip
    fit_to_memory(trainer)
    with freed_memory_kept():  # as ``Trainer.run`` does
        times = [_timed(trainer, size) for _ in range(steps + 1)][1:]
    step_s = median(times)
    per_image = step_s / size
    checked = min(plan.settings.recalibration_images, n[TRAIN]) + n[INTERNAL]
    epoch_s = n[TRAIN] * per_image + checked * per_image * FORWARD_SHARE
    seconds = epoch_s * plan.settings.epochs
    if plan.method == "quick":
        seconds = (2 * n[TRAIN] + n[INTERNAL]) * per_image * FORWARD_SHARE
    return {
        "part": part.part, "step_s": step_s, "images_per_s": 1 / per_image, "seconds": seconds,
        "memory_gib": peak_memory_gib(), "accumulate": trainer.accumulate, "device": device, "steps": steps,
    }  # fmt: skip


def peak_memory_gib() -> float:
    """Most memory that this process (on a GPU: its tensors) ever had."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _timed(trainer: Trainer, size: int) -> float:
    rows = np.arange(size)
    generator = torch.Generator().manual_seed(0)
    started = time.perf_counter()
    trainer.one_step(rows, generator)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _noise(n: int, size_px: int, part: PartMap) -> ImageSet:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, size_px, size_px, 3), dtype=np.uint8)
    targets = np.arange(n) % len(part.classes)
    return ImageSet(images, targets.astype(np.int64), tuple(f"made up {i}" for i in range(n)), part.classes)
