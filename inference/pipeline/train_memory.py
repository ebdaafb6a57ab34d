"""How many images fit at once. On a GPU a lack of memory is an error that can be caught; on a CPU the system kills the
process, so there the need is worked out before the first step, from what one small forward keeps for its backward."""

from __future__ import annotations

import copy

import numpy as np
import torch

from inference.pipeline.memory_left import available_bytes
from inference.pipeline.train import Trainer

PROBE = 2  # images of the forward that is looked at
OVERHEAD = 1.6  # gradients of activations and copies of layouts, on top of what is kept
SHARE = 0.7  # of the available memory


def kept_bytes_per_image(trainer: Trainer) -> float:
    """Bytes that one image's forward keeps until its backward, each storage counted once; nothing is changed."""
    network = copy.deepcopy(trainer.network).train()
    rows = np.arange(PROBE)
    images = torch.from_numpy(np.ascontiguousarray(trainer.training.images[rows])).permute(0, 3, 1, 2)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), trainer.autocast():
        network(trainer.normalise(images.float() / 255)).sum()
    return sum(seen.values()) / PROBE


def fit_to_memory(trainer: Trainer, available: int | None = None) -> int:
    """Give the trainer as many parts per batch as the memory of a CPU asks for; returns their number.

    Says so where it is more than was asked for. Other devices are left alone.
    """
    if trainer.device.type != "cpu":
        return trainer.accumulate
    size, room = trainer.settings.batch_size, SHARE * (available_bytes() if available is None else available)
    need = OVERHEAD * kept_bytes_per_image(trainer)
    parts = trainer.accumulate
    while parts * 2 <= size // 2 and -(-size // parts) * need > room:
        parts *= 2
    if parts > trainer.accumulate:
        trainer.accumulate = parts
        trainer.say(
            f"A batch of {size} would need about {size * need / 2**30:.1f} GiB, {room / SHARE / 2**30:.1f} GiB are "
            f"available: each batch is computed in {parts} parts."
        )
    return parts
