"""A network outside the DenseNet family: predicted like any other, its saliency maps by the library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from inference.services.registry import model_import, pipeline_create
from inference.services.runs import run_request

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ShuffleNet as model 1."""
    torch = pytest.importorskip("torch", reason="other networks need torch, which is not installed")
    from inference.pipeline.card import ModelCard
    from inference.pipeline.classes import MODEL_1
    from inference.pipeline.export import UNKNOWN_SHA256, save_model_folder
    from inference.pipeline.networks import build_network
    from inference.pipeline.preprocess import Recipe

    torch.manual_seed(0)
    architecture = {"name": "shufflenet_v2_x0_5"}
    card = ModelCard(
        name="shuffle", version="1", slot="model_1", classes=MODEL_1, architecture=architecture,
        recipe=Recipe(size_px=64), weights_sha256=UNKNOWN_SHA256, onnx_sha256=UNKNOWN_SHA256, dataset={}, metrics={},
        training={}, licence="MIT", synthetic=True, intended_use="Tests", created="2026-01-01",
    )  # fmt: skip
    path: Path = tmp_path_factory.mktemp("shuffle")
    save_model_folder(path, build_network(architecture, 2), card)
    return path


def test_saliency_maps_come_from_the_library(
    pipeline: Any, folder: Path, make_slide: Any, run_jobs: Any, technician: Any, as_role: Any
) -> None:
    model = model_import(actor=None, folder=folder)
    mixed = pipeline_create(
        actor=None,
        name="mixed",
        version="1",
        rule_set=pipeline_rules(pipeline),
        models=pipeline.slots | {"model_1": model},
    )
    slide = make_slide(2)
    run = run_request(actor=technician, slide=slide, pipeline=mixed)
    run_jobs()
    run.job.refresh_from_db()
    assert run.job.status == "done", run.job.error
    image = slide.images.get(position=1)
    client = as_role("pathologist")
    address = reverse("result_saliency", args=[run.public_id, image.public_id, "model_1", "LEUKEMIA"])
    assert client.get(address).status_code == 202
    run_jobs()
    response = client.get(address)
    assert response.status_code == 200
    overlay = np.asarray(Image.open(io.BytesIO(response.content)))
    assert overlay.shape == (image.height_px, image.width_px, 4)


def pipeline_rules(pipeline: Any) -> Any:
    from inference.pipeline.rules import RuleSet

    return RuleSet.from_dict(pipeline.rule_set)
