"""Which images a step reads, in what parts, and how they reach the device before they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inference.pipeline.dataset import Images
from inference.pipeline.preprocess import Recipe
from inference.pipeline.training_config import TrainingSettings

Rows = NDArray[np.intp]


def seed_of(seed: int, epoch: int) -> int:
    """One seed for each epoch of a training; far apart, so that neighbouring seeds share no epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_schedule(
    optimiser: torch.optim.Optimizer, settings: TrainingSettings, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate over ``steps`` steps, as ``settings.schedule`` names it."""
    if settings.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    if settings.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)


def epoch_order(n: int, batch_size: int, generator: torch.Generator, world: int = 1) -> list[Rows]:
    """All rows once, shuffled, in batches. Batch norm needs two images on every device: a rest of one is filled up
    with its neighbour, and over several devices a rest that is too small for them is left out of this epoch."""
    order = torch.randperm(n, generator=generator).numpy()
    batches = [order[start : start + batch_size] for start in range(0, n, batch_size)]
    if len(batches[-1]) < 2 * world:
        batches[-1:] = [order[-2:]] if world == 1 else []
    return batches


def split(n: int, accumulate: int, world: int = 1, rank: int = 0) -> list[slice]:
    """The parts of a batch of ``n`` that this rank computes, one after the other; each has two images or more."""
    parts = world * max(1, min(accumulate, n // (2 * world)))
    edges = np.linspace(0, n, parts + 1).astype(int)
    return [slice(int(edges[i]), int(edges[i + 1])) for i in range(rank, parts, world)]


class Normalise:
    """0..255 to the recipe's mean and std, float, channels last."""

    def __init__(self, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self._mean = torch.tensor(recipe.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(recipe.std, device=device).view(1, 3, 1, 1)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in 0..1 in, normalised out."""
        return ((batch - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Feed:
    """Reads rows one batch ahead of the device, in a thread; pinned where the device copies by itself."""

    images: Images
    device: torch.device

    def __call__(self, batches: Sequence[Rows]) -> Iterator[torch.Tensor]:
        """uint8 (n, 3, H, W) on the device, in the order of ``batches``."""
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
            ahead = pool.submit(self._read, batches[0]) if batches else None
            for following in (*batches[1:], None):
                assert ahead is not None
                current = ahead.result()
                ahead = pool.submit(self._read, following) if following is not None else None
                yield current.to(self.device, non_blocking=True)

    def _read(self, rows: Rows) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(self.images[rows])).permute(0, 3, 1, 2)
        return batch.pin_memory() if self.device.type == "cuda" else batch


def in_batches(rows: Rows, size: int) -> list[Rows]:
    """``rows`` in order, ``size`` at a time."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
