"""A run from the frozen dataset to registered models, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from inference.models import Evaluation, ModelVersion, TrainingEpoch, TrainingRun

pytestmark = pytest.mark.django_db


def test_a_run_from_the_frozen_dataset_to_a_candidate(trained: TrainingRun, data_dir: Any) -> None:
    models = {part.part: part.model for part in trained.parts.select_related("model")}
    assert set(models) == {"model_1", "model_2", "model_3"}
    assert ModelVersion.objects.count() == 3
    assert trained.pipeline is not None
    assert trained.pipeline.slots == models
    assert not trained.pipeline.is_active, "nothing is promoted by itself"
    card = models["model_3"].card
    assert card["dataset"]["manifest_sha256"] == trained.dataset.manifest_sha256
    assert card["training"]["epochs"] == 3
    assert card["recipe"]["size_px"] == 32
    assert models["model_3"].synthetic
    report = trained.parts.get(part="model_3").report
    assert report["n_images"] == 21
    assert report["n_patients"] == 7
    evaluation = Evaluation.objects.get(pipeline=trained.pipeline, dataset=trained.dataset)
    assert evaluation.report["n_patients"] == 7
    assert set(evaluation.report["levels"]["5"]["evaluators"]) == {"hierarchy", "model 3 alone"}

    for part in trained.parts.all():  # every epoch is there once
        assert list(part.epochs.values_list("number", flat=True)) == [1, 2, 3]
        assert part.epochs.get(number=part.best_epoch).macro_f1 == part.best_macro_f1
    assert TrainingEpoch.objects.count() == 9
    assert trained.notes.first().text.startswith("Started: 63 images")
    assert not list((data_dir / "training").rglob("*.safetensors")), "states are dropped once the model is registered"
