"""A pipeline that is small enough for tests, and slides of small images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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
            intended_use="Tests", created="2026-01-01",
        )  # fmt: skip
        save_model_folder(folder / slot, build_network(architecture, len(classes)), card)
    write_pipeline_json(
        folder, name="tiny", version="1", description="For tests", rule_set=RULE_SETS["paper-fig2"],
        slots={slot: slot for slot in slots},
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped starter, or, where there is none, tiny untrained models."""
    if (STARTER / "pipeline.json").is_file():
        return STARTER
    return _tiny(tmp_path_factory.mktemp("tiny-pipeline"))


@pytest.fixture
def pipeline(db: None, pipeline_folder: Path) -> Any:
    """Registered and active."""
    from inference.services.registry import pipeline_activate, pipeline_import

    return pipeline_activate(actor=None, pipeline=pipeline_import(actor=None, folder=pipeline_folder))


def _field_png(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    """A smooth coloured picture, different for each seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def field_png() -> Callable[[int], bytes]:
    return _field_png


@pytest.fixture
def make_slide(db: None) -> Callable[..., Any]:
    """``make_slide(5)`` -> a slide of a new patient with five different images."""
    from cases.models import Cohort, Patient, Slide
    from cases.services.images import image_add

    def make(n_images: int = 5, code: str = "", cohort: Any = None, seed: int | None = None) -> Any:
        cohort = cohort or Cohort.objects.get_or_create(name="Tests", defaults={"purpose": "external"})[0]
        number = Slide.objects.count() + 1
        patient = Patient.objects.create(code=f"P{number:03}", cohort=cohort)
        slide = Slide.objects.create(code=code or f"S{number:03}", patient=patient)
        for i in range(n_images):
            image_add(actor=None, slide=slide, data=_field_png(1000 * (seed or number) + i), name=f"{i}.png")
        return slide

    return make
