"""Training, evaluation and their refusals from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.models import Evaluation, TrainingRun
from inference.services.training import training_create, training_start
from leukoweb.core.jobs.ledger import job_cancel
from leukoweb.core.models import AuditEvent
from tests.inference.training.conftest import TINY, config, freeze

pytestmark = pytest.mark.django_db(transaction=True)  # progress is told from another thread
SETTINGS = ("epochs=1", "batch_size=8", "size_px=32", f"architecture={json.dumps(TINY)}", "threads=1")


def train(*words: str) -> str:
    out = io.StringIO()
    call_command("train", *words, *[w for s in SETTINGS for w in ("--set", s)], stdout=out)
    return out.getvalue()


def test_a_cancelled_training_is_resumed_and_its_pipeline_evaluated(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, admin_user: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("inference.management.commands.train.PATIENCE_S", 0.0)
    dataset = freeze()
    run = training_create(actor=None, dataset=dataset, config=config(), name="by command")
    job = job_cancel(actor=admin_user, job=training_start(actor=None, run=run))
    out = io.StringIO()
    call_command("train", "--resume", "by command", "--wait", stdout=out)
    retried = AuditEvent.objects.get(action="job.retry")
    assert (retried.actor, retried.target) == (None, f"job:{job.pk}"), "the system did it, not some admin"
    assert "by command model 1 1: macro F1" in out.getvalue()
    assert "Candidate pipeline: by command:1" in out.getvalue()
    out = io.StringIO()
    report = tmp_path / "report.json"
    call_command("evaluate", "--dataset", "tiny:1", "--pipeline", "by command:1", "--json", str(report), stdout=out)
    assert "7 patients, 21 images" in out.getvalue()
    assert "3 classes, hierarchy: macro F1" in out.getvalue()
    assert json.loads(report.read_text())["n_patients"] == 7
    assert Evaluation.objects.filter(pipeline__name="by command").count() == 2
    with pytest.raises(CommandError, match="E_NO_REFERENCE"):
        call_command("evaluate", "--cohort", "tiny development")
    for patient in dataset.entries.first().patient.cohort.patients.all()[:4]:
        patient.references.create(diagnosis="AML", source="test")
    out = io.StringIO()
    call_command("evaluate", "--cohort", "tiny development", stdout=out)
    assert "4 patients, 12 images" in out.getvalue()


def test_wrong_words_end_with_code_2_and_one_line() -> None:
    freeze()
    for words, message in (
        (("--dataset", "nothing:1"), "There is no dataset version"),
        (("--dataset", "tiny:1", "--models", "9"), "models is"),
        (("--dataset", "tiny:1", "--set", "epochs"), "is not OPTION=VALUE"),
        (("--dataset", "tiny:1", "--set", "colour=red"), "There is no option 'colour'"),
        (("--resume", "nobody"), "no training run"),
    ):
        with pytest.raises(CommandError, match=message) as refused:
            train(*words) if "--dataset" in words else call_command("train", *words)
        assert refused.value.returncode == 2
        assert "\n" not in str(refused.value)
    assert not TrainingRun.objects.exists()
    out = io.StringIO()
    call_command("train", "--dataset", "tiny", "--models", "1", "--preset", "starter", stdout=out)
    assert "tiny-1 run 1 is queued" in out.getvalue()
