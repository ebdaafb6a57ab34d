"""A field that crashes the worker's process, and a cancel while a worker computes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tests.support.chaos.stack import Stack, draw_folder, wait_until

pytestmark = pytest.mark.faults
POISON_FOLDER = Path(__file__).parent / "poison"
UNFINISHED = "SELECT count(*) FROM core_job WHERE status IN ('queued', 'running') AND kind = 'inference.run'"
PREDICTED = (
    "SELECT count(DISTINCT p.content_sha256) FROM inference_imageprediction p "
    "JOIN cases_hpfimage i ON i.content_sha256 = p.content_sha256 WHERE i.slide_id = ?"
)
BATCH = 8


def prepared(folder: Path, *, patients: int, fields: int) -> Stack:
    stack = Stack(folder / "state")
    draw_folder(folder / "fields", patients=patients, fields=fields, width_px=480)
    stack.manage("migrate", "--verbosity", "0")
    stack.python("from leukoweb.demo.setup import first_run; first_run(demo=False)")
    stack.manage("import_slides", str(folder / "fields"), "--cohort", "Faults", "--purpose", "external")
    return stack


def test_a_poison_field_fails_its_own_slide_after_three_attempts_and_nothing_else(tmp_path: Path) -> None:
    stack = prepared(tmp_path, patients=6, fields=5)
    slide = stack.rows("SELECT id FROM cases_slide ORDER BY id")[2][0]
    poison = stack.rows("SELECT content_sha256 FROM cases_hpfimage WHERE slide_id = ? AND position = 3", slide)[0][0]
    path = os.pathsep.join([str(POISON_FOLDER), os.environ.get("PYTHONPATH", "")])
    with stack.running(POISON_SHA256=poison, PYTHONPATH=path, JOB_LEASE_S="4"):
        stack.manage("run_pipeline", "--cohort", "Faults")
        wait_until(lambda: stack.rows(UNFINISHED) == [(0,)], seconds=600, what="every run done or failed")
    jobs = stack.rows(
        "SELECT j.status, j.error_code, j.error, j.fence, r.slide_id FROM core_job j "
        "JOIN inference_pipelinerun r ON r.job_id = j.id ORDER BY r.slide_id"
    )
    print(*jobs, sep="\n")
    bad = [job for job in jobs if job[4] == slide]
    assert [(job[0], job[1]) for job in bad] == [("failed", "E_WORKER_LOST")]
    assert "field 3" in bad[0][2]
    assert bad[0][3] <= 5, "in its batch, alone after its neighbours were saved, then three times without progress"
    others = [job for job in jobs if job not in bad]
    assert [job[0] for job in others] == ["done"] * 5
    assert stack.rows("SELECT count(*) FROM inference_patientprediction") == [(5,)]
    assert stack.rows(PREDICTED, slide) == [(2,)], "the fields before it are saved, its own is not"


def test_a_cancel_stops_a_working_worker_within_a_batch(tmp_path: Path) -> None:
    stack = prepared(tmp_path, patients=1, fields=96)
    done = "SELECT done_units, status FROM core_job WHERE kind = 'inference.run'"
    cancel = (
        "from leukoweb.core.models import Job, User; from leukoweb.core.jobs.ledger import job_cancel\n"
        "job = Job.objects.get(kind='inference.run')\n"
        "job_cancel(actor=User.objects.filter(role='admin').first() or User.objects.first(), job=job)\n"
        "job.refresh_from_db(); print(job.done_units)"
    )
    with stack.running():
        stack.manage("run_pipeline", "--cohort", "Faults")
        wait_until(lambda: stack.rows(done)[0][0] >= BATCH, seconds=120, what="the first batch")
        at_cancel = int(stack.python(cancel).split()[-1])
        began = time.monotonic()
        wait_until(lambda: stack.rows(done)[0][1] == "cancelled", seconds=60, what="the worker stopping")
        seconds = time.monotonic() - began
        time.sleep(2)
        (saved,) = stack.rows(PREDICTED, stack.rows("SELECT id FROM cases_slide")[0][0])[0]
    print(f"cancelled at {at_cancel} of 96 fields; {saved - at_cancel} more were saved, stopped after {seconds:.1f} s")
    assert at_cancel < 96, "the slide was done before the cancel: nothing was tested"
    assert saved - at_cancel <= BATCH
    assert stack.rows("SELECT count(*) FROM inference_patientprediction") == [(0,)]


def test_the_poison_kills_nothing_but_workers_that_open_it(tmp_path: Path) -> None:
    """The test's own means: without the hash in the environment, or in another process, it does nothing."""
    import subprocess
    import sys

    content = b"no image"
    code = (
        "import io\nfrom PIL import Image\ntry: Image.open(io.BytesIO(b'no image'))\nexcept OSError: print('alive')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(POISON_FOLDER), "POISON_SHA256": hashlib.sha256(content).hexdigest()}
    safe = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert safe.stdout.strip() == "alive"
    armed = subprocess.run(
        [sys.executable, "-c", code, "infer@"], env=environment, capture_output=True, text=True, check=False
    )
    assert armed.returncode == -11
