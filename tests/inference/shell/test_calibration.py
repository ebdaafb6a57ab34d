"""A model that is registered without a re-check band gets one, measured by the worker, before it may run in bf16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError
from django.urls import reverse

from inference.models import ModelCalibration, ModelVersion
from inference.pipeline import calibration
from inference.pipeline.calibration import calibration_fields
from inference.pipeline.preprocess import Recipe
from inference.services.registry import model_import
from inference.worker import engines
from leukoweb.core.models import Job

pytestmark = pytest.mark.django_db
openvino = pytest.importorskip("openvino")


@pytest.fixture
def bare(pipeline_folder: Path, tmp_path: Path) -> Path:
    """A model folder whose card has no margin, as a laboratory without bf16 would make it."""
    slot = json.loads((pipeline_folder / "pipeline.json").read_text())["slots"]["model_1"]
    folder = Path(shutil.copytree(pipeline_folder / slot, tmp_path / "bare"))
    card = json.loads((folder / "card.json").read_text())
    card |= {"recheck_margins": {}, "name": "bare"}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration.calibration_fields, "__defaults__", (4,))


@pytest.fixture
def bf16() -> bool:
    from inference.pipeline.engine_openvino import cpu_has_bf16

    return cpu_has_bf16()


@pytest.mark.both_databases
def test_registration_calibrates_and_the_worker_uses_it(
    bare: Path, few: None, bf16: bool, run_jobs: Any, admin_user: Any, as_role: Any
) -> None:
    model = model_import(actor=admin_user, folder=bare)
    page = reverse("model_detail", args=[model.pk])
    assert b"Not calibrated" in as_role("admin").get(page).content
    assert engines.open_model(model).engine.profile.endswith(" fp32")
    assert run_jobs() == 1
    job = Job.objects.get(kind="inference.calibrate")
    assert job.status == Job.Status.DONE, job.error
    if not bf16:
        assert "does not compute bfloat16" in job.note
        assert not ModelCalibration.objects.exists()
        return
    measured = ModelCalibration.objects.get(model=model)
    assert measured.margin > 0
    assert measured.n_images == 8
    assert engines.open_model(model).engine.profile.endswith(f" bf16 recheck {measured.margin:.6g}")
    assert b"measured here on 8 drawn fields" in as_role("admin").get(page).content
    with pytest.raises(DatabaseError):
        ModelCalibration.objects.update(margin=0)


def test_a_card_with_a_margin_is_taken_at_its_word(pipeline: Any) -> None:
    assert not Job.objects.filter(kind="inference.calibrate").exists()
    assert all(model.card["recheck_margins"] for model in ModelVersion.objects.all())


def test_the_fields_are_the_same_everywhere_and_half_of_them_lie_between_labels() -> None:
    recipe = Recipe(size_px=64)
    fields = calibration_fields(recipe, 4)
    assert fields.shape == (8, 64, 64, 3)
    assert np.array_equal(fields, calibration_fields(recipe, 4))
    assert len({field.tobytes() for field in fields}) == 8
