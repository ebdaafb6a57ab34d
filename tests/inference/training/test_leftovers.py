"""What a killed training leaves: pixels go, the state to continue from stays, and a state that is gone is said."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cases.models import Patient
from cases.services.sweeping import media_sweep
from inference.models import TrainingEpoch, TrainingRun
from inference.pipeline.dataset import ImageSet
from inference.pipeline.train import Trainer
from inference.selectors.training import withdrawn_since
from inference.services.training import NEW_RUN, training_continue, training_create, training_start
from inference.worker import training, training_devices
from inference.worker.training import run_folder, save_epoch
from inference.worker.training_start import Start
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import Job
from tests.inference.training.conftest import config

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(frozen: Any) -> TrainingRun:
    """Queued; its last state on record is that of epoch 2, made on several GPUs."""
    made = training_create(actor=None, dataset=frozen, config=config())
    training_start(actor=None, run=made)
    made.parts.update(epochs_done=2, state_name="devices-3/epoch-00002.safetensors")
    return TrainingRun.objects.get(pk=made.pk)


def written(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def test_the_sweep_keeps_what_continue_needs_and_no_pixels(run: TrainingRun, data_dir: Path) -> None:
    kept, *gone = written(
        run_folder(run) / "model_1", "devices-3/epoch-00002.safetensors", "devices-3/epoch-00001.safetensors",
        "devices-3/training.npy", "devices-2/validation.npy",
    )  # fmt: skip
    orphan, somebodys = written(data_dir / "training", f"{'0' * 32}/model_1/training.npy", "notes/mine.txt")
    assert str(media_sweep(older_than_s=-1)).endswith("0 cached files and 1 training file removed.")
    assert not orphan.parent.parent.exists(), "no run has this name"
    assert all(path.exists() for path in (kept, *gone, somebodys)), "a run that waits or trains is left alone"
    Job.objects.update(status="failed")
    assert media_sweep().others[0][0] == 0, "files of today are left alone"
    media_sweep(older_than_s=-1)
    assert kept.exists()
    assert somebodys.exists()
    assert not any(path.exists() for path in gone)
    assert not (run_folder(run) / "model_1" / "devices-2").exists()
    Job.objects.update(status="done")
    media_sweep(older_than_s=-1)
    assert not run_folder(run).exists()


def withdraw(code: str) -> None:
    Patient.objects.filter(code=code).update(withdrawn_at=timezone.now())


@pytest.mark.parametrize("how", ["a missing file", "the end of an epoch"])
def test_a_withdrawal_ends_the_training_with_its_next_epoch_and_no_state_stays(
    frozen: Any, run_jobs: Callable[[], int], as_role: Callable[[str], Client], monkeypatch: Any, how: str
) -> None:
    """The first epoch has learned from the patient, and its state is on record."""
    made = training_create(actor=None, dataset=frozen, config=config())
    job = training_start(actor=None, run=made)
    train = Trainer.run

    def withdrawn_after_the_first(self: Trainer, on_epoch: Any, on_step: Any) -> Any:
        def after(epoch: Any) -> None:
            on_epoch(epoch)
            withdraw("tiny-AML-0")
            if how == "a missing file":
                raise FileNotFoundError("decoded pixels")

        return train(self, after, on_step)

    monkeypatch.setattr(Trainer, "run", withdrawn_after_the_first)
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code, job.hint) == ("failed", "E_WITHDRAWN", NEW_RUN)
    assert made.parts.get().epochs_done == 1
    assert not list(run_folder(made).rglob("*.safetensors"))
    page = as_role("admin").get(reverse("training_detail", args=[made.public_id])).content.decode()
    assert "It cannot be continued: a patient from whom it has learned was withdrawn since." in page
    assert "Continue after epoch" not in page


def test_a_run_that_waits_to_be_continued_does_not_after_a_withdrawal(
    run: TrainingRun, admin_user: Any, run_jobs: Callable[[], int]
) -> None:
    """The epochs are of before, and the sweep takes the state that "Continue" would have needed."""
    (state,) = written(run_folder(run) / "model_1", "devices-3/epoch-00002.safetensors")
    TrainingEpoch.objects.create(part=run.parts.get(), number=1, loss=1, macro_f1=0, accuracy=0, class_f1=[],
                                 learning_rate=1, images_per_s=1, seconds=1)  # fmt: skip
    assert not withdrawn_since(run)
    withdraw("tiny-AML-2")
    run_jobs()
    job = Job.objects.get(kind="training.run")
    assert (job.status, job.error_code) == ("failed", "E_WITHDRAWN"), "queued before, noticed before it resumes"
    with pytest.raises(Conflict, match="a patient from whom it has learned was withdrawn since"):
        training_continue(actor=admin_user, run=TrainingRun.objects.get(pk=run.pk))
    written(state.parent, state.name)
    media_sweep(older_than_s=-1)
    assert not state.exists()


def test_a_state_that_is_gone_is_said_with_what_to_do(run: TrainingRun, run_jobs: Callable[[], int]) -> None:
    """As after a restore: the epochs are on record, the file to go on from is in no backup."""
    run_jobs()
    job = Job.objects.get(kind="training.run")
    assert (job.status, job.error_code) == ("failed", "E_STATE_GONE")
    assert "cannot go on after epoch 2" in job.error
    assert "Start a new training with the same options" in job.hint


def test_a_training_on_devices_that_fails_leaves_no_pixels(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(run) / "model_1"
    state, _ = written(folder, "devices-3/epoch-00002.safetensors", "devices-3/training.npy")
    seen: list[str] = []

    def launch(spec: Path, n: int) -> Any:
        seen.extend(sorted(path.name for path in folder.glob("*/*.npy")))
        (spec / "log.txt").write_text("CUDA error\n")
        return SimpleNamespace(poll=lambda: 1, returncode=1)

    monkeypatch.setattr(training_devices, "launch", launch)
    side = ImageSet(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a", "b"), ("X", "Y"))
    context: Any = SimpleNamespace(claim=SimpleNamespace(fence=4), check=lambda: None)
    with pytest.raises(training_devices.DevicesFailed, match="CUDA error"):
        training_devices.train_on_devices(
            context, run, run.parts.get(), (side, side), Start(None, "random"), lambda text: None
        )
    assert seen == ["training.npy", "validation.npy"], "those of the killed attempt went before"
    assert not list(folder.rglob("*.npy"))
    assert state.exists()


def test_what_a_run_went_on_in_is_on_record(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four attempts on two machines: the card will name both."""
    said: list[str] = []
    for device in ("CPU", "CPU", "A100", "A100"):
        surroundings = {"device": device, "threads": 2, "torch": "2.0"}
        monkeypatch.setattr(training, "environment", lambda plan, now=surroundings: now)
        training._note_environment(run, said.append)  # type: ignore[arg-type]
    run.refresh_from_db()
    assert (run.environment["device"], [later["device"] for later in run.environment["later"]]) == ("CPU", ["A100"])
    assert said == ["Goes on in other surroundings than it began in: A100, 2 threads, torch 2.0."]


def test_torchrun_has_the_time_to_end_its_own_processes() -> None:
    """They are in sessions of their own: killed with it unasked, none of them would end."""
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent

    theirs = inspect.signature(LocalElasticAgent._shutdown).parameters["timeout"].default
    assert theirs < training_devices.END_S


def test_the_bar_of_several_devices_counts_the_whole_run(frozen: Any, tmp_path: Path) -> None:
    made = training_create(actor=None, dataset=frozen, config=config(models=["model_1", "model_2", "model_3"]))
    made.parts.filter(part="model_1").update(epochs_done=3)
    told: list[tuple[Any, ...]] = []
    context: Any = SimpleNamespace(write=nullcontext, progress=lambda *args: told.append(args))
    spec, part = tmp_path / "devices-1", made.parts.get(part="model_2")
    written(spec, "epoch-00001.safetensors")
    epoch = {"number": 1, "loss": 1.0, "macro_f1": 0.5, "accuracy": 0.5, "class_f1": [0.5, 0.5], "learning_rate": 0.1}
    line = {"epoch": epoch, "state": "epoch-00001.safetensors", "best_epoch": 1}
    (spec / "epochs.jsonl").write_text(json.dumps(line) + "\n")
    assert training_devices._record(context, part, spec, tmp_path, 0, save_epoch) == 1
    assert (told[0][:2], told[0][2][:20]) == ((4, 9), "model 2, epoch 1 of ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells a child that its parent died")
def test_what_a_killed_worker_started_ends_with_it(tmp_path: Path) -> None:
    """The program holds one end of a pipe: its end is the pipe's end."""
    (tmp_path / "napping.py").write_text("import signal, sys\nprint(*sys.argv[1:], flush=True)\nsignal.pause()\n")
    worker = (
        "import subprocess, time\nfrom inference.pipeline.tether import tethered\n"
        "subprocess.Popen(tethered('napping', '--awake'))\ntime.sleep(600)\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[3])])
    parent = subprocess.Popen(
        [sys.executable, "-c", worker], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"--awake\n", "with its own arguments alone"
    parent.send_signal(signal.SIGKILL)
    assert parent.stdout.read() == b"", "the end of the last process that could write"
    parent.wait()
