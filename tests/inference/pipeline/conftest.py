"""A tiny trained-looking model folder and a few prepared images, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.pipeline.checkpoint import ModelFolder, Pipeline, write_pipeline_json
from inference.pipeline.rules import RULE_SETS
from tests.inference.pipeline.models import TINY, make_model, smear_like


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_model(tmp_path_factory.mktemp("models") / "model_3", "model_3")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Three tiny models behind the rules of Fig. 2; model 3 also serves as the single model."""
    folder = tmp_path_factory.mktemp("pipeline")
    for slot in ("model_1", "model_2", "model_3"):
        make_model(folder / slot, slot)
    slots = {slot: slot for slot in ("model_1", "model_2", "model_3")} | {"single_model": "model_3"}
    return write_pipeline_json(
        folder,
        name="tiny",
        version="1",
        description="Random weights for tests.",
        rule_set=RULE_SETS["paper-fig2"],
        slots=slots,
    )


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Six fields of different proportions."""
    sizes = [(160, 120), (120, 160), (128, 128), (90, 64), (200, 150), (64, 64)]
    return [smear_like(seed, size) for seed, size in enumerate(sizes)]


@pytest.fixture(scope="session")
def batch(images: list[Image.Image]) -> NDArray[np.uint8]:
    return np.stack([TINY.prepare(image) for image in images])


@pytest.fixture
def copied(model_folder: ModelFolder, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may damage."""
    target = tmp_path / "model"
    target.mkdir()
    for file in model_folder.path.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target
