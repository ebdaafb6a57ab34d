"""``manage.py run_pipeline``, ``import_pipeline``, ``export_pipeline``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.management import seeing_through
from inference.management.commands import run_pipeline as command
from inference.models import ModelVersion, PatientPrediction, PipelineRun, PipelineVersion
from leukoweb.core.models import Job
from leukoweb.core.storage import blobs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs in these tests, so there is nothing to wait for."""
    monkeypatch.setattr(command, "PATIENCE_S", 0)
    monkeypatch.setattr(seeing_through, "POLL_S", 0.01)


def test_a_slide_is_queued(pipeline: Any, make_slide: Any, capsys: Any) -> None:
    make_slide(3, code="A-1")
    call_command("run_pipeline", "--slide", "A-1")
    assert "1 run queued" in capsys.readouterr().out
    assert PipelineRun.objects.get().job.status == Job.Status.QUEUED


def test_wait_does_the_work_itself_and_prints_the_diagnosis(pipeline: Any, make_slide: Any, capsys: Any) -> None:
    make_slide(3, code="A-1")
    call_command("run_pipeline", "--slide", "A-1", "--wait", "--pipeline", f"{pipeline.name}:{pipeline.version}")
    result = PatientPrediction.objects.get()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "A-1: waiting 0/3 images"
    assert lines[-1].startswith(f"A-1: {result.diagnosis}")


def test_wait_takes_over_what_a_dead_worker_left(pipeline: Any, make_slide: Any, capsys: Any) -> None:
    from django.utils import timezone

    make_slide(3, code="A-1")
    call_command("run_pipeline", "--slide", "A-1")
    Job.objects.update(status=Job.Status.RUNNING, fence=1, attempt=1, lease_until=timezone.now())
    call_command("run_pipeline", "--slide", "A-1", "--wait")
    assert PatientPrediction.objects.count() == 1
    assert Job.objects.get().fence == 2


def test_wait_ends_when_a_run_has_died_too_often(pipeline: Any, make_slide: Any) -> None:
    from django.conf import settings
    from django.utils import timezone

    make_slide(3, code="A-1")
    call_command("run_pipeline", "--slide", "A-1")
    Job.objects.update(status=Job.Status.RUNNING, attempt=settings.JOB_MAX_ATTEMPTS, lease_until=timezone.now())
    with pytest.raises(CommandError, match="without a result"):
        call_command("run_pipeline", "--slide", "A-1", "--wait")


def test_wait_sleeps_while_nothing_can_be_claimed(
    pipeline: Any, make_slide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an unexpected error the job waits some seconds; the command must not burn a core meanwhile."""
    slept: list[float] = []

    def sleeps(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            Job.objects.update(not_before=None)

    make_slide(2, code="A-1")
    call_command("run_pipeline", "--slide", "A-1")
    Job.objects.update(not_before="2999-01-01T00:00Z")
    monkeypatch.setattr(seeing_through.time, "sleep", sleeps)
    call_command("run_pipeline", "--slide", "A-1", "--wait")
    assert slept == [seeing_through.POLL_S] * 3
    assert PatientPrediction.objects.count() == 1


def test_a_cohort_runs_what_is_not_current(pipeline: Any, make_slide: Any, capsys: Any) -> None:
    for code in ("A-1", "A-2"):
        make_slide(2, code=code)
    call_command("run_pipeline", "--cohort", "Tests", "--mode", "cascade", "--wait")
    assert PatientPrediction.objects.count() == 2
    capsys.readouterr()
    call_command("run_pipeline", "--cohort", "Tests", "--wait")
    assert "Nothing to do" in capsys.readouterr().out
    call_command("run_pipeline", "--cohort", "Tests", "--everything", "--wait")
    assert PatientPrediction.objects.count() == 4


def test_a_failure_is_told_and_the_others_are_done(pipeline: Any, make_slide: Any, capsys: Any) -> None:
    broken, _ = make_slide(2, code="A-1"), make_slide(2, code="A-2")
    blobs().purge(broken.images.get(position=2).content_sha256)
    with pytest.raises(CommandError) as caught:
        call_command("run_pipeline", "--cohort", "Tests", "--wait")
    assert caught.value.returncode == 1
    assert "1 of 2 runs" in str(caught.value)
    assert "field 2 is missing" in capsys.readouterr().err
    assert PatientPrediction.objects.get().slide.code == "A-2"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--slide", "NO"],
        ["--cohort", "NO"],
        ["--slide", "A-1", "--pipeline", "NO:1"],
    ],
)
def test_wrong_names_end_with_code_2_and_say_what_exists(pipeline: Any, make_slide: Any, arguments: list[str]) -> None:
    make_slide(1, code="A-1")
    with pytest.raises(CommandError) as caught:
        call_command("run_pipeline", *arguments)
    assert caught.value.returncode == 2
    assert "There is no" in str(caught.value)


def test_without_a_pipeline_the_command_says_so(make_slide: Any) -> None:
    make_slide(1, code="A-1")
    with pytest.raises(CommandError, match="No pipeline is active"):
        call_command("run_pipeline", "--slide", "A-1")


def test_import_and_export(db: None, pipeline_folder: Path, tmp_path: Path, capsys: Any) -> None:
    call_command("import_pipeline", str(pipeline_folder), "--activate")
    assert ", active" in capsys.readouterr().out
    pipeline = PipelineVersion.objects.get()
    out = tmp_path / "p.zip"
    call_command("export_pipeline", "--out", str(out))
    assert out.is_file()
    with pytest.raises(CommandError, match="exists"):
        call_command("export_pipeline", "--out", str(out))
    call_command("export_pipeline", pipeline.name, "--out", str(out), "--force")
    call_command("import_pipeline", str(out))
    assert PipelineVersion.objects.get() == pipeline
    call_command("import_pipeline", str(next(pipeline_folder.glob("*/card.json")).parent))
    assert ModelVersion.objects.count() == len(set(pipeline.slots.values()))
    assert [path.name for path in tmp_path.glob(".*.part")] == []


@pytest.mark.parametrize(("name", "code"), [("missing", 2), ("empty", 1), ("text.zip", 1)])
def test_what_cannot_be_imported_ends_with_a_sentence(db: None, tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("x")
    with pytest.raises(CommandError) as caught:
        call_command("import_pipeline", str(tmp_path / name))
    assert caught.value.returncode == code


def test_a_model_cannot_be_activated(db: None, pipeline_folder: Path) -> None:
    folder = next(pipeline_folder.glob("*/card.json")).parent
    with pytest.raises(CommandError, match="is a model"):
        call_command("import_pipeline", str(folder), "--activate")
