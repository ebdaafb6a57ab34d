"""Tiny models with logits as spread as trained ones, and images with something round on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from inference.pipeline.card import ModelCard
from inference.pipeline.checkpoint import ModelFolder, Pipeline, write_pipeline_json
from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.export import UNKNOWN_SHA256, save_model_folder
from inference.pipeline.preprocess import Recipe
from inference.pipeline.rules import RULE_SETS

TINY = Recipe(size_px=64)
ARCHITECTURE = {
    "name": "densenet",
    "growth_rate": 8,
    "block_config": [2, 2, 2],
    "num_init_features": 16,
    "bn_size": 2,
}


def card_for(slot: str, **changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "name": f"tiny-{slot.replace('_', '-')}",
        "version": "1",
        "slot": slot,
        "classes": SLOT_CLASSES[slot][0],
        "architecture": dict(ARCHITECTURE),
        "recipe": TINY,
        "weights_sha256": UNKNOWN_SHA256,
        "onnx_sha256": UNKNOWN_SHA256,
        "dataset": {"name": "none"},
        "metrics": {},
        "training": {},
        "licence": "MIT",
        "synthetic": True,
        "intended_use": "Tests.",
        "created": "2026-01-01",
    }
    return ModelCard(**values | changes)


def make_model(folder: Path, slot: str, *, half: bool = False) -> ModelFolder:
    """Random weights with settled batch norms and a steep classifier, so that logits differ as after training."""
    import torch

    from inference.pipeline.networks import build_network

    card = card_for(slot)
    torch.manual_seed(sum(slot.encode()))
    network = build_network(card.architecture, len(card.classes)).train()
    x = np.stack([TINY.prepare(smear_like(seed, (96, 80))) for seed in range(8)])
    inputs = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        for _ in range(20):
            network(inputs)
        network.eval()
        scale = 4 / network(inputs).std()
        network.classifier.weight.mul_(scale)
        network.classifier.bias.sub_(network(inputs).mean(0))
    return save_model_folder(folder, network, card, half=half)


def smear_like(seed: int, size: tuple[int, int]) -> Image.Image:
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size, (235, 225, 230))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = random.uniform(0, size[0]), random.uniform(0, size[1]), random.uniform(4, 14)
        colour = tuple(int(v) for v in random.integers(60, 220, 3))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return image


def make_triple(folder: Path) -> Pipeline:
    """Three tiny models behind the rules of Fig. 2; model 3 also serves as the single model."""
    for slot in ("model_1", "model_2", "model_3"):
        make_model(folder / slot, slot)
    slots = {slot: slot for slot in ("model_1", "model_2", "model_3")} | {"single_model": "model_3"}
    return write_pipeline_json(
        folder, name="tiny", version="1", description="Random weights.", rule_set=RULE_SETS["paper-fig2"], slots=slots
    )
