"""kill -9 of workers and brokers during a cohort: nothing lost, nothing doubled, the same answers."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.chaos.stack import Stack, draw_folder, predictions, wait_until

pytestmark = pytest.mark.faults
PATIENTS, FIELDS, KILLS, SEED = 64, 6, 20, 20_241_123
UNFINISHED = "SELECT count(*) FROM core_job WHERE status IN ('queued', 'running')"


def prepared(folder: Path, name: str) -> Stack:
    """A stack whose database holds the phantom slides, not diagnosed yet."""
    stack = Stack(folder / name)
    if not (folder / "fields").exists():
        draw_folder(folder / "fields", patients=PATIENTS, fields=FIELDS)
    stack.manage("migrate", "--verbosity", "0")
    stack.python("from leukoweb.demo.setup import first_run; first_run(demo=False)")
    stack.manage("import_slides", str(folder / "fields"), "--cohort", "Faults", "--purpose", "external")
    return stack


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("calm")
    stack = prepared(folder, "state")
    with stack.running():
        stack.manage("run_pipeline", "--cohort", "Faults")
        wait_until(lambda: stack.rows(UNFINISHED) == [(0,)], seconds=600, what="the undisturbed run")
    found = predictions(stack)
    found["folder"] = folder
    assert len(found["patients"]) == PATIENTS
    return found


def compare(found: dict[str, Any], calm: dict[str, Any]) -> None:
    assert [p[0] for p in found["patients"]] == [p[0] for p in calm["patients"]], "lost or doubled patients"
    assert found["patients"] == calm["patients"]
    keys = [(slot, sha, profile) for slot, sha, profile, _ in found["images"]]
    assert len(keys) == len(set(keys))
    assert found["images"] == calm["images"], "probabilities differ on the same numeric profile"


def test_workers_killed_twenty_times(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(undisturbed["folder"] / "fields", tmp_path / "fields")
    stack = prepared(tmp_path, "state")
    chooser = random.Random(SEED)
    kills = 0
    with stack.running():
        stack.manage("run_pipeline", "--cohort", "Faults")
        while kills < KILLS and stack.rows(UNFINISHED) != [(0,)]:
            wait_until(
                lambda: (
                    bool(stack.rows("SELECT 1 FROM core_job WHERE status = 'running' AND queue = 'infer'"))
                    or stack.rows(UNFINISHED) == [(0,)]
                ),
                seconds=120,
                what="a worker taking a job",
            )
            time.sleep(chooser.uniform(0.1, 1.5))
            kills += stack.kill("celery", "infer@", chooser=chooser) is not None
        wait_until(lambda: stack.rows(UNFINISHED) == [(0,)], seconds=900, what="all jobs after the last kill")
    print(f"{kills} kills, seed {SEED}; jobs: {stack.rows('SELECT status, count(*) FROM core_job GROUP BY status')}")
    assert kills == KILLS
    compare(predictions(stack), undisturbed)


def test_the_broker_killed_and_wiped_three_times(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(undisturbed["folder"] / "fields", tmp_path / "fields")
    stack = prepared(tmp_path, "state")
    with stack.running():
        stack.manage("run_pipeline", "--cohort", "Faults")
        for _ in range(3):
            done = stack.rows("SELECT count(*) FROM core_job WHERE status = 'done'")[0][0]
            wait_until(lambda: bool(stack.processes("valkey-server")), seconds=60, what="the broker coming back")
            stack.kill("valkey-server")
            shutil.rmtree(stack.data / "run" / "broker", ignore_errors=True)
            (stack.data / "run" / "broker").mkdir(exist_ok=True)
            wait_until(
                lambda done=done: (
                    stack.rows("SELECT count(*) FROM core_job WHERE status = 'done'")[0][0] > done
                    or stack.rows(UNFINISHED) == [(0,)]
                ),
                seconds=300,
                what="progress after the broker was wiped",
            )
        wait_until(lambda: stack.rows(UNFINISHED) == [(0,)], seconds=900, what="all jobs")
    compare(predictions(stack), undisturbed)
