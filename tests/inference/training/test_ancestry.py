"""Whom a candidate knows: through its own training, through the weights that it started from, through live slots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from inference.models import ModelVersion, PipelineVersion, TrainingRun
from inference.pipeline.rules import rule_set_named
from inference.pipeline.training_data import TrainingRefused
from inference.selectors.ancestry import datasets_behind
from inference.services.files import model_folder
from inference.services.registry import pipeline_create
from inference.services.training import training_create, training_start
from tests.inference.training.conftest import config, write_version

ELSEWHERE = "00000000-0000-4000-8000-000000000000"
"""A dataset version of another installation."""


def drawn_anew(first: Any) -> Any:
    """The same images as ``first``; one training patient of each label is a test patient now, and the other way."""
    rows = [
        (e.image, e.patient, e.label, "internal" if e.patient_code.endswith("-0") else "train")
        for e in first.entries.select_related("image__slide", "patient")
    ]
    return write_version(first.name, first.taxonomy, rows, version=2)


def descendant(
    model: ModelVersion, name: str, *, same_weights: bool = False, dataset: Any = None, **training: Any
) -> ModelVersion:
    """A registered model whose card names how it came to be."""
    weights = model.weights_sha256 if same_weights else hashlib.sha256(name.encode()).hexdigest()
    card = model.card | {"name": name, "dataset": dataset or {}, "training": training}
    return ModelVersion.objects.create(
        name=name, version="1", slot=model.slot, classes=model.classes, card=card, recipe_sha256=model.recipe_sha256,
        weights_sha256=weights, onnx_sha256=model.onnx_sha256,
    )  # fmt: skip


def test_no_training_starts_from_weights_that_know_its_test_patients(frozen: Any, pipeline: PipelineVersion) -> None:
    again, origin = drawn_anew(frozen), pipeline.slots["model_1"]
    child = descendant(origin, "child", start_datasets=[str(frozen.public_id)])
    of_old = descendant(origin, "of old", initial_weights_sha256=child.weights_sha256)
    grandchild = descendant(origin, "grandchild", initial_weights_sha256=of_old.weights_sha256)
    for model in (child, of_old, grandchild):
        assert datasets_behind([model]) == {str(frozen.public_id)}
        plan = config(initial_weights=f"model:{model.pk}")
        with pytest.raises(TrainingRefused, match=r"7 internal-validation patients .* are known to the model") as told:
            training_create(actor=None, dataset=again, config=plan)
        assert (told.value.code, told.value.field) == ("E_LEAK", "initial_weights")
        assert "keeps the sides of tiny 1, or" in told.value.hint
        training_create(actor=None, dataset=frozen, config=plan)  # on its own version it may go on
    assert not TrainingRun.objects.filter(dataset=again).exists()


def test_a_file_with_the_weights_of_a_known_model_is_refused_by_the_job(
    frozen: Any, pipeline: PipelineVersion, weights_folder: Path, run_jobs: Callable[[], int]
) -> None:
    origin = pipeline.slots["model_1"]
    (weights_folder / "w.safetensors").write_bytes(model_folder(origin).weights_path.read_bytes())
    descendant(origin, "twin", same_weights=True, start_datasets=[str(frozen.public_id)])
    plan = config(initial_weights="file:w.safetensors")
    job = training_start(actor=None, run=training_create(actor=None, dataset=drawn_anew(frozen), config=plan))
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "E_LEAK")


def test_the_page_says_whom_a_candidate_knows_through_its_live_slots(
    frozen: Any, pipeline: PipelineVersion, as_role: Callable[[str], Client]
) -> None:
    """Another model was trained on the new version; model 1 is the live one, of the earlier version."""
    admin, origin = as_role("admin"), pipeline.slots["model_1"]
    run = training_create(actor=None, dataset=drawn_anew(frozen), config=config())

    def page_of(name: str, model_1: ModelVersion, **more: ModelVersion) -> str:
        candidate = pipeline_create(
            actor=None, name=name, version="1", rule_set=rule_set_named("paper-fig2"),
            models=pipeline.slots | {"model_1": model_1} | more,
        )  # fmt: skip
        TrainingRun.objects.filter(pk=run.pk).update(pipeline=candidate)
        return admin.get(reverse("training_compare", args=[run.public_id])).content.decode()

    knows = page_of("knows", descendant(origin, "old", start_datasets=[str(frozen.public_id)]))
    assert "The candidate knows 7 of these patients" in knows
    assert "whom no model of the candidate has learned from" not in knows
    assert "whom no model of the candidate has learned from" in page_of("fresh", origin)
    idle = descendant(pipeline.slots["model_3"], "idle", start_datasets=[str(frozen.public_id)])
    page = page_of("beside", origin, single_model=idle)
    assert "whom no model of the candidate has learned from" in page, "the rules do not read what knows them"
    own = {"dataset": {"dataset_version": str(run.dataset.public_id)}}
    for name, card, training, words in (
        ("stray", own, {"start_datasets": [ELSEWHERE]}, "1 dataset version that"),
        ("mute", {}, {}, "no card here says what mute 1 learned from"),
        ("odd", {"dataset": {"dataset_version": "no id"}}, {"start_datasets": None}, "what odd 1 learned from"),
        ("filed", own, {"initial_weights_sha256": "f" * 64}, "what the start of filed 1 learned from"),
        ("worded", own, {"initial_weights_sha256": "d" * 64, "start_datasets": ["Site X"]}, "the start of worded 1"),
        ("pretrained", own, {"initial_weights_sha256": "a639ec97" + "0" * 56}, ""),
        ("told", own, {"initial_weights_sha256": "e" * 64, "start_datasets": [str(run.dataset.public_id)]}, ""),
    ):
        page = page_of(name, descendant(origin, name, **card, **training))
        assert ("cannot be told" in page, words in page) == (bool(words), True)
        assert ("whom no model of the candidate has learned from" in page) == (not words)
