"""kill -9 of the training worker, ten times: the same weights as undisturbed, no epoch twice, one model registered."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.chaos.stack import ROOT, Stack

pytestmark = pytest.mark.faults
KILLS, EPOCHS, SEED = 10, 48, 20_241_126
START = (
    "from tests.inference.training.conftest import config, freeze\n"
    "from inference.services.training import training_create, training_start\n"
    f"plan = config(models=['model_3'], size_px=32, settings={{'epochs': {EPOCHS}, 'batch_size': 8}})\n"
    "run = training_create(actor=None, dataset=freeze(n_images=3), config=plan, name='killed')\n"
    "training_start(actor=None, run=run)\n"
)
EPOCH_ROWS = "SELECT count(*), count(DISTINCT number), coalesce(max(number), 0) FROM inference_trainingepoch"
JOB = "SELECT status, error FROM core_job WHERE kind = 'training.run'"


def prepared(folder: Path) -> Stack:
    stack = Stack(folder)
    stack.manage("migrate", "--verbosity", "0")
    stack.python(START)
    return stack


def worker(stack: Stack) -> subprocess.Popen[bytes]:
    env = stack.environment | {"JOB_LEASE_S": "3"}
    command = [sys.executable, "manage.py", "run_jobs", "--queues", "train", "--drain"]
    with (stack.data / "worker.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)


def outcome(stack: Stack) -> dict[str, Any]:
    columns = "number, loss, macro_f1, accuracy, class_f1, learning_rate"
    return {
        "job": stack.rows(JOB),
        "epochs": stack.rows(f"SELECT {columns} FROM inference_trainingepoch ORDER BY number"),
        "models": stack.rows("SELECT name, version, weights_sha256 FROM inference_modelversion"),
        "pipelines": stack.rows("SELECT count(*) FROM inference_pipelineversion"),
        "best": stack.rows("SELECT best_epoch, epochs_done FROM inference_trainingpart"),
    }


def test_a_training_killed_ten_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    calm = prepared(tmp_path / "calm")
    assert worker(calm).wait(900) == 0
    undisturbed = outcome(calm)
    assert undisturbed["job"] == [("done", "")]
    assert len(undisturbed["epochs"]) == EPOCHS

    stack, chooser = prepared(tmp_path / "killed"), random.Random(SEED)
    killed_after, deadline = [], time.monotonic() + 1500
    while len(killed_after) < KILLS:
        process, before = worker(stack), stack.rows(EPOCH_ROWS)[0][2]
        while stack.rows(EPOCH_ROWS)[0][2] == before and process.poll() is None:
            assert time.monotonic() < deadline, "no epoch in time"
            time.sleep(0.02)
        time.sleep(chooser.uniform(0, 0.4))  # anywhere in the next epochs: while stepping, saving, or between the two
        assert process.poll() is None, "it ended before it could be killed ten times; make it longer"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        rows, numbers, last = stack.rows(EPOCH_ROWS)[0]
        assert rows == numbers == last, "an epoch was counted twice, or one is missing"
        killed_after.append(last)
        time.sleep(3.2)  # until the lease has run out
    assert worker(stack).wait(900) == 0
    found = outcome(stack)
    print(f"{KILLS} kills, after epochs {killed_after}, seed {SEED}; weights {found['models'][0][2][:16]}...")
    assert found == undisturbed
    assert len(found["models"]) == 1
