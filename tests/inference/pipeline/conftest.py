"""A tiny trained-looking model folder and a few prepared images, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.pipeline.checkpoint import ModelFolder, Pipeline, load_pipeline_folder
from tests.inference.pipeline.models import TINY, make_triple, smear_like
from tests.support.once import Once


@pytest.fixture(scope="session")
def pipeline(once: Once) -> Pipeline:
    """Three tiny models behind the rules of Fig. 2; model 3 also serves as the single model."""
    return load_pipeline_folder(once("tiny", make_triple))


@pytest.fixture(scope="session")
def model_folder(pipeline: Pipeline) -> ModelFolder:
    return pipeline.models["model_3"]


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
