"""When to retrain: what counts as new, and that a busy month does not silence the alarm."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cases.models import Exclusion, HpfImage, SortingDecision, SortingItem, SortingSeat, SortingTask
from inference.models import ImagePrediction, ModelVersion, PipelineVersion
from inference.pipeline.rules import RULE_SETS
from inference.selectors import retraining
from inference.selectors.retraining import retraining_standing
from tests.inference.training.conftest import freeze, write_version

pytestmark = pytest.mark.django_db


def trained_on(dataset: Any, **data: Any) -> ModelVersion:
    """The one model of the active pipeline, trained on ``dataset``."""
    model = ModelVersion.objects.create(
        name="m", version="1", slot="single_model", classes=["ACUTE", "CHRONIC", "NO_LEUKEMIA"],
        card={"dataset": {"dataset_version": str(dataset.public_id)} | data}, recipe_sha256="0" * 64,
        weights_sha256="0" * 64, onnx_sha256="0" * 64,
    )  # fmt: skip
    rules = RULE_SETS["single-model-majority"].as_dict()
    PipelineVersion.objects.create(name="p", version="1", rule_set=rules, single_model=model, is_active=True)
    return model


def test_labels_that_do_not_count_are_not_new(admin_user: Any, technician: Any) -> None:
    small = freeze({"AML": 2, "NO_LEUKEMIA": 1}, n_images=2, internal=0)
    rows = [(e.image, e.patient, e.label, e.split) for e in small.entries.exclude(patient__code="tiny-AML-1")]
    dataset = write_version("seen", small.taxonomy, rows)
    trained_on(dataset)
    first, second = HpfImage.objects.filter(slide__patient__code="tiny-AML-1").order_by("pk")
    third = HpfImage.objects.filter(slide__patient__code="tiny-NO_L-0").first()
    task = SortingTask.objects.create(name="Sort", taxonomy=dataset.taxonomy, seed=1)

    def sort(who: Any, image: Any, *labels: str, undone: bool = False) -> None:
        seat, _ = SortingSeat.objects.get_or_create(task=task, user=who, seed=1)
        for label in labels:
            decision = SortingDecision.objects.create(
                seat=seat, image=image, key=uuid.uuid4(), verdict="label", label=label
            )
        n = seat.items.count() + 1
        SortingItem.objects.create(seat=seat, image=image, position=n, current=None if undone else decision)

    sort(admin_user, first, "AML", "ALL")  # changed
    sort(technician, first, "AML")  # doubled, and they do not agree
    sort(technician, second, "AML", undone=True)
    sort(admin_user, third, "CML")  # trained on already
    standing = retraining_standing()
    assert {row.label: row.n_new for row in standing.labels} == {"AML": 1, "ALL": 1, "NO_LEUKEMIA": 0}
    assert any("1 labelled images are new" in reason for reason in standing.suggestion.reasons)
    for excluded, expected in ((True, {"AML": 0, "NO_LEUKEMIA": 0}), (False, {"AML": 1, "ALL": 1, "NO_LEUKEMIA": 0})):
        Exclusion.objects.create(image=first, excluded=excluded, reason="blur")
        assert {row.label: row.n_new for row in retraining_standing().labels} == expected
    assert retraining._labels(write_version("later", small.taxonomy, rows))[1] == 0, "left out by the freeze, not new"


def test_the_alarm_still_knows_the_validation_images_after_many_predictions(
    monkeypatch: Any, as_role: Callable[[str], Client]
) -> None:
    """More predictions since than are looked at: the validation images' are older than all of them."""
    monkeypatch.setattr(retraining, "NEWEST", 12)
    dataset = freeze({"AML": 1, "NO_LEUKEMIA": 1}, n_images=2)
    model = trained_on(dataset)
    freeze({"AML": 4}, n_images=3, internal=0, name="later", purpose="external", seed=500)

    def predict(contents: Any, surest: float) -> None:
        ImagePrediction.objects.bulk_create(
            [
                ImagePrediction(
                    content_sha256=content, model=model, recipe_sha256=model.recipe_sha256, profile="test",
                    probabilities=[surest, 1 - surest, 0.0],
                )
                for content in contents
            ]
        )  # fmt: skip

    predict(dataset.entries.filter(split="internal").values_list("content_sha256", flat=True), 0.9)
    later = HpfImage.objects.filter(slide__patient__code__startswith="later")
    predict(later.values_list("content_sha256", flat=True), 0.6)
    predict([f"{n:064x}" for n in range(4 * 12)], 0.6)  # of images that are gone
    found = retraining_standing().confidences
    assert sum(row.n_images for row in found) == 12
    assert {round(row.drop, 6) for row in found} == {0.3}
    page = as_role("admin").get(reverse("training_when")).content.decode()
    assert "The newest 12 images that are not part of the training are looked at" in page
    monkeypatch.setattr(retraining, "NEWEST", 2)
    looked_at = dataset.entries.filter(content_sha256__in=retraining._contents(dataset))
    assert set(looked_at.values_list("patient_code", flat=True)) == {"tiny-AML-0", "tiny-NO_L-0"}, "not the first alone"
