"""torch engines: eager fp32 on the CPU is the reference; channels-last bf16 autocast is for GPUs."""

from __future__ import annotations

import re

import numpy as np
import torch
from numpy.typing import NDArray

from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.engine import EngineOutput
from inference.pipeline.networks import build_network, with_features

#: Images per forward on a GPU. Shorter batches are filled up, so the kernels, and with them the last bits of
#: an answer, never depend on how many images came together.
CUDA_BATCH = 32


class TorchEngine:
    """See ``inference.pipeline.engine.Engine``. On the CPU one image a forward, the fastest there."""

    def __init__(
        self, model: ModelFolder, *, device: str = "cpu", precision: str = "fp32", threads: int | None = None
    ) -> None:
        card = model.card
        if threads is not None:
            torch.set_num_threads(threads)
        network = build_network(card.architecture, len(card.classes))
        network.load_state_dict({key: torch.from_numpy(value) for key, value in model.weights().items()})
        self._network = with_features(network, card.architecture).to(device)
        if precision == "bf16":
            self._network = self._network.to(memory_format=torch.channels_last)
        self._device, self._bf16 = torch.device(device), precision == "bf16"
        self._static_batch = CUDA_BATCH if self._device.type == "cuda" else 1
        self._mean = torch.tensor(card.recipe.mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(card.recipe.std, device=device).view(1, 3, 1, 1) * 255
        self._n_classes = len(card.classes)
        self.name = "torch-cuda" if self._device.type == "cuda" else "torch"
        self.precision = precision
        match = re.match(r"\d+\.\d+", torch.__version__)
        self.profile = f"{self.name}-{match.group() if match else torch.__version__} {precision}"

    def infer(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
        """See ``Engine.infer``."""
        logits, features = [np.empty((0, self._n_classes), dtype=np.float32)], []
        for start in range(0, len(batch), self._static_batch):
            part = batch[start : start + self._static_batch]
            outputs = self._forward(part)
            logits.append(outputs[0][: len(part)].float().cpu().numpy())
            if with_features and len(outputs) > 1:
                features.append(outputs[1][: len(part)].float().cpu().numpy())
        return EngineOutput(np.concatenate(logits), np.concatenate(features) if features else None)

    @torch.inference_mode()
    def _forward(self, part: NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
        filled = np.zeros((self._static_batch, *part.shape[1:]), dtype=np.uint8)
        filled[: len(part)] = part
        x = torch.from_numpy(filled).to(self._device).permute(0, 3, 1, 2).float()  # (n, 3, H, W)
        x = (x - self._mean) / self._std
        x = x.contiguous(memory_format=torch.channels_last if self._bf16 else torch.contiguous_format)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
            outputs: tuple[torch.Tensor, ...] = self._network(x)
        return outputs
