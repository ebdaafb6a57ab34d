"""Writes a model folder from a trained torch network: safetensors, ONNX and the card, then verifies it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from inference.pipeline.calibration import measure_margin
from inference.pipeline.card import ModelCard
from inference.pipeline.checkpoint import (
    CARD_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    ModelFolder,
    check_weights,
    file_sha256,
    load_model_folder,
    write_json,
)
from inference.pipeline.errors import EngineUnavailable
from inference.pipeline.networks import build_network, require_torch, with_features

if TYPE_CHECKING:
    from torch import nn

UNKNOWN_SHA256 = "0" * 64  # for a card that is written before its files


def save_model_folder(folder: Path, network: nn.Module, card: ModelCard, *, half: bool = False) -> ModelFolder:
    """Write ``network`` to ``folder`` and load it back through every check.

    ``card`` may carry any hashes; they are replaced. ``half`` stores the weights as float16: the
    network that is exported and later loaded is the rounded one, so safetensors and ONNX agree.
    """
    require_torch("Exporting a model")
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().numpy() for key, value in network.state_dict().items()}
    if half:
        state = {key: v.astype(np.float16) if v.dtype.kind == "f" else v for key, v in state.items()}
    rounded = {key: v.astype(np.float32) if v.dtype.kind == "f" else v for key, v in state.items()}
    check_weights(rounded, card)
    safetensors.numpy.save_file({k: np.asarray(v, order="C") for k, v in state.items()}, folder / WEIGHTS_NAME)
    (folder / WEIGHTS_NAME).chmod(0o644)  # safetensors writes for the owner alone; the worker may be somebody else
    fresh = build_network(card.architecture, len(card.classes))
    fresh.load_state_dict({key: torch.from_numpy(value) for key, value in rounded.items()})
    export_onnx(with_features(fresh, card.architecture), folder / ONNX_NAME, card.recipe.size_px)
    return _write_card(folder, card)


def export_onnx(network: nn.Module, path: Path, size_px: int) -> None:
    """ONNX for one normalised image (1, 3, size_px, size_px); outputs ``logits`` and, if known, ``features``.

    The file is rid of notes about the machine that made it.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise EngineUnavailable(
            "Exporting to ONNX needs onnx and onnxscript.", hint="Install the extra [ai]."
        ) from error
    example = torch.zeros(1, 3, size_px, size_px)
    with torch.no_grad():
        names = ["logits", "features"][: len(network(example))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["image"],
            output_names=names,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    graph = onnx.load(path)
    graph.doc_string = ""
    del graph.metadata_props[:]
    for part in (graph.graph, *graph.functions):
        del part.metadata_props[:]
        part.doc_string = ""
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del value.metadata_props[:]
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def calibrate_recheck(model: ModelFolder, images: NDArray[np.uint8]) -> ModelFolder:
    """Measure the bf16 re-check margin on ``images`` (n, size, size, 3) and store it on the card.

    Without bf16 on this CPU the card stays as it is, and fp32 is used.
    """
    margin = measure_margin(model, images)
    if margin is None:
        return model
    return _write_card(model.path, replace(model.card, recheck_margins=model.card.recheck_margins | {"bf16": margin}))


def with_metrics(model: ModelFolder, metrics: Mapping[str, Any]) -> ModelFolder:
    """The same model with more metrics on its card, for what is measured after the export."""
    return _write_card(model.path, replace(model.card, metrics=model.card.metrics | dict(metrics)))


def _write_card(folder: Path, card: ModelCard) -> ModelFolder:
    weights, onnx = (file_sha256(folder / name) for name in (WEIGHTS_NAME, ONNX_NAME))
    write_json(folder / CARD_NAME, replace(card, weights_sha256=weights, onnx_sha256=onnx).as_dict())
    return load_model_folder(folder)
