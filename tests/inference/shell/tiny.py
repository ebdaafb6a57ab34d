"""The pipeline that shell and browser tests run: the shipped starter, or tiny untrained models where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

STARTER = Path(__file__).resolve().parents[3] / "inference" / "starter"


def _tiny(folder: Path) -> Path:
    """Three untrained DenseNets of a few thousand weights; what they say is arbitrary but fixed by the seed."""
    torch = pytest.importorskip("torch", reason="no starter pipeline is shipped and torch is not installed")
    from inference.pipeline.card import ModelCard
    from inference.pipeline.checkpoint import write_pipeline_json
    from inference.pipeline.classes import SLOT_CLASSES
    from inference.pipeline.export import UNKNOWN_SHA256, save_model_folder
    from inference.pipeline.hierarchy import RULE_SETS
    from inference.pipeline.networks import build_network
    from inference.pipeline.preprocess import Recipe

    architecture = {"name": "densenet", "growth_rate": 4, "block_config": [1, 1], "num_init_features": 8, "bn_size": 2}
    slots = ("model_1", "model_2", "model_3")
    for seed, slot in enumerate(slots):
        torch.manual_seed(seed)
        classes = SLOT_CLASSES[slot][0]
        card = ModelCard(
            name=f"tiny {slot.replace('_', ' ')}", version="1", slot=slot, classes=classes, architecture=architecture,
            recipe=Recipe(size_px=64), weights_sha256=UNKNOWN_SHA256, onnx_sha256=UNKNOWN_SHA256,
            dataset={"name": "none"}, metrics={}, training={}, licence="MIT", synthetic=True,
            intended_use="Tests", created="2026-01-01", recheck_margins={"bf16": 0.1},
        )  # fmt: skip
        save_model_folder(folder / slot, build_network(architecture, len(classes)), card)
    write_pipeline_json(
        folder, name="tiny", version="1", description="For tests", rule_set=RULE_SETS["paper-fig2"],
        slots={slot: slot for slot in slots},
    )  # fmt: skip
    return folder


def pipeline_source(folder: Path) -> Path:
    """A pipeline folder: the starter's own, or ``folder`` filled with the tiny one."""
    return STARTER if (STARTER / "pipeline.json").is_file() else _tiny(folder)
