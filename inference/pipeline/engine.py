"""One interface to whatever computes the logits, and the choice among what this machine has.

The torch eager fp32 engine is the reference; every other engine is tested against it (tolerances in
``docs/pipeline.md``). Importing this module loads neither torch nor openvino.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.errors import EngineUnavailable

Precision = Literal["auto", "fp32", "bf16"]

#: Largest allowed |difference of logits| to the reference, as a share of its largest |logit| (at least 1).
TOLERANCE: Final[dict[str, float]] = {"fp32": 1e-4, "bf16": 0.05}
#: How much wider than the largest seen change the re-check band is made.
MARGIN_SAFETY: Final = 1.5


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """``logits`` (n, n_classes) float32; ``features`` (n, C, h, w) float32 post-ReLU, if asked and known."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32] | None


class Engine(Protocol):
    """Turns prepared images into logits. The answer for an image never depends on its batch.

    ``profile`` is the numeric profile, part of a prediction's key: ``"openvino-2026.4 bf16"``.
    """

    name: str
    precision: str
    profile: str

    def infer(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
        """``batch`` is (n, size_px, size_px, 3) uint8 RGB as ``Recipe.prepare`` makes it."""


class RecheckedEngine:
    """A fast engine whose close calls are computed again in fp32 (decision safety, ADR 0103).

    An image is a close call when the gap between its two largest logits is below ``margin``. The exact engine
    is opened at the first close call, or before by ``open_exact``.
    """

    def __init__(self, fast: Engine, open_exact: Callable[[], Engine], margin: float) -> None:
        self._fast, self._opening, self._exact = fast, open_exact, None if margin > 0 else fast
        self.margin = margin
        self.rechecked = 0  # images computed twice since the engine was opened
        self.name, self.precision = fast.name, fast.precision
        self.profile = f"{fast.profile} recheck {margin:.6g}"

    def infer(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
        output, close = self.look(batch, with_features=with_features)
        if close.size:
            exact = self.settle(batch[close], with_features=with_features)
            output.logits[close] = exact.logits
            if output.features is not None and exact.features is not None:
                output.features[close] = exact.features
        return output

    def look(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> tuple[EngineOutput, NDArray[np.intp]]:
        """The fast answers, and the indices of those that are close calls and must be settled."""
        output = self._fast.infer(batch, with_features=with_features)
        return output, np.flatnonzero(logit_gap(output.logits) < self.margin)

    def settle(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
        """The exact answers for close calls, of one batch or of several."""
        self.rechecked += len(batch)
        return self.open_exact().infer(batch, with_features=with_features)

    def open_exact(self) -> Engine:
        """The fp32 engine, opened now if it was not: with it a first close call waits for no compilation."""
        if self._exact is None:
            self._exact = self._opening()
        return self._exact


def logit_gap(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) difference of the two largest logits; infinite for a single class."""
    if logits.shape[1] < 2:
        return np.full(len(logits), np.inf, dtype=np.float32)
    top = np.partition(logits, -2, axis=1)
    return top[:, -1] - top[:, -2]


def calibrate_margin(fast: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Re-check margin from the logits of the same images on both engines: 1.5 times the largest change.

    Between any two classes the gap changes by at most max(d) - min(d), d = fast - exact, so below that change
    an argmax can flip. The bound holds for the calibration images and is an estimate for others.
    """
    if fast.shape != exact.shape or fast.size == 0:
        raise EngineUnavailable(f"Calibration needs equal, non-empty logits, found {fast.shape} and {exact.shape}.")
    change = fast.astype(np.float64) - exact.astype(np.float64)
    return MARGIN_SAFETY * float((change.max(axis=1) - change.min(axis=1)).max())


def available_engines() -> tuple[str, ...]:
    """Engines that can be opened here, best first. Imports torch only where a GPU device file exists."""
    found = ["torch-cuda"] if _cuda_present() else []
    if importlib.util.find_spec("openvino"):
        found.append("openvino")
    if _has_torch():
        found.append("torch")
    return tuple(found)


def open_engine(
    model: ModelFolder,
    prefer: str = "auto",
    *,
    precision: str = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
) -> Engine:
    """Open ``model`` on the preferred engine.

    ``precision="auto"`` means bf16 where the device has it and the card holds a calibrated re-check margin,
    else fp32. ``threads=None`` leaves the number to the engine. ``cache_dir`` keeps compiled OpenVINO models.

    Raises
    ------
    EngineUnavailable
        The preferred engine is unknown, not installed or has no device; it is never replaced silently.
    """
    engines = available_engines()
    name = (engines[0] if engines else "none") if prefer == "auto" else prefer
    if name not in engines:
        raise EngineUnavailable(
            f"The engine {name!r} cannot be used here.",
            hint=f"Available: {', '.join(engines) or 'none; install openvino or the extra [ai]'}.",
            field="engine",
        )
    if precision not in ("auto", "fp32", "bf16"):
        raise EngineUnavailable(f"There is no precision {precision!r}; use auto, fp32 or bf16.", field="precision")
    margin = model.card.recheck_margins.get("bf16")

    def opened(at: str, *, few: bool = False) -> Engine:
        if name == "openvino":
            from inference.pipeline.engine_openvino import OpenVinoEngine

            return OpenVinoEngine(model, precision=at, threads=threads, cache_dir=cache_dir, few=few)
        from inference.pipeline.engine_torch import TorchEngine

        device = "cuda" if name == "torch-cuda" else "cpu"
        return TorchEngine(model, device=device, precision=at, threads=threads)

    if precision != "auto":
        return opened(precision)
    if margin is None or name == "torch" or not _has_bf16(name):
        return opened("fp32")
    # Mostly one image of a batch is close: side by side it would leave every other core idle.
    return RecheckedEngine(opened("bf16"), lambda: opened("fp32", few=True), margin)


def _has_bf16(name: str) -> bool:
    if name == "openvino":
        from inference.pipeline.engine_openvino import cpu_has_bf16

        return cpu_has_bf16()
    import torch

    return torch.cuda.is_bf16_supported()


def _has_torch() -> bool:
    return bool(importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"))


def _cuda_present() -> bool:
    if not _has_torch() or not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
        return False
    import torch

    return torch.cuda.is_available()
