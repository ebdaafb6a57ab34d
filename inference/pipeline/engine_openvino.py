"""OpenVINO on the CPU: one image a request, normalisation folded into the graph, requests in parallel.

Static shapes are 1.3 times faster than a dynamic batch, and one image a request makes an answer independent
of its batch.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.engine import EngineOutput
from inference.pipeline.errors import EngineUnavailable, WeightsFormat

_HINTS = {"fp32": "f32", "bf16": "bf16"}


@functools.cache
def cpu_has_bf16() -> bool:
    """True where the CPU computes bfloat16 itself (AVX-512 BF16 or AMX)."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """See ``inference.pipeline.engine.Engine``."""

    name = "openvino"

    def __init__(
        self,
        model: ModelFolder,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        cache_dir: Path | None = None,
        few: bool = False,
    ) -> None:
        """``few``: all threads work on one image, for batches of one or two; otherwise images run side by side."""
        if precision == "bf16" and not cpu_has_bf16():
            raise EngineUnavailable("This CPU does not compute bfloat16.", hint="Use fp32.", field="precision")
        core = openvino.Core()
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if few else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # Activations stay in the hinted precision; the card's tolerance was measured that way.
            "EXECUTION_MODE_HINT": "PERFORMANCE",
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            config["CACHE_DIR"] = str(cache_dir)
        try:
            graph = _with_uint8_input(core.read_model(model.onnx_path), model)
            self._compiled = core.compile_model(graph, "CPU", config)
        except RuntimeError as error:
            raise WeightsFormat(
                f"OpenVINO cannot read the ONNX file of {model.card.name}: {str(error).splitlines()[0]}.",
                hint="Export the model again.",
            ) from error
        # Requests of our own and no AsyncInferQueue: its Python callbacks need the interpreter's lock in OpenVINO's
        # threads, which is the likely cause of two test runs that hung with it (ADR 0103).
        n_requests = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self._compiled.create_infer_request() for _ in range(n_requests)]
        self._n_classes = len(model.card.classes)
        self._has_features = len(self._compiled.outputs) > 1
        self.precision = precision
        version = ".".join(openvino.__version__.split("-")[0].split(".")[:2])
        self.profile = f"openvino-{version} {precision}"

    def infer(self, batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
        """See ``Engine.infer``; requests run in parallel, results come back in order."""
        n, wanted = len(batch), with_features and self._has_features
        logits = np.empty((n, self._n_classes), dtype=np.float32)
        features: list[NDArray[np.float32]] = []

        def collect(i: int) -> None:
            request = self._requests[i % len(self._requests)]
            request.wait()
            logits[i] = request.get_output_tensor(0).data[0]
            if wanted:
                features.append(np.array(request.get_output_tensor(1).data[0], dtype=np.float32))

        pending = min(n, len(self._requests))
        for i in range(n):
            if i >= pending:
                collect(i - pending)
            self._requests[i % len(self._requests)].start_async({0: batch[i : i + 1]})
        for i in range(n - pending, n):
            collect(i)
        return EngineOutput(logits, np.stack(features) if features else None)


def _with_uint8_input(graph: openvino.Model, model: ModelFolder) -> openvino.Model:
    """Fold uint8 NHWC -> normalised float NCHW into the graph, with a static shape of one image."""
    recipe = model.card.recipe
    steps = PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean([255 * v for v in recipe.mean]).scale(
        [255 * v for v in recipe.std]
    )
    built = steps.build()
    built.reshape([1, recipe.size_px, recipe.size_px, 3])
    return built
