"""A cohort from stored files to results through a worker, and again where nothing has to be computed.

    python -m benchmarks.cohort [--patients 64] [--fields 12] [--pipeline FOLDER]

The worker is started after the runs were queued: from its start to the first result counts what it imports and
compiles. Then the same runs again (every prediction is stored) and a pipeline of the same models with other rules.
Beside them the bare networks over the same inputs, in memory and in this process. Last, one worker a core on one queue,
from one core to all: another cohort for each number of workers, each worker held to a core of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.results import ROOT, Result, Table, add_options, report
from benchmarks.serving import environment, setup

OTHER_RULES = "paper-fig1"
COHORT = "Benchmark"


def draw(folder: Path, patients: int, fields: int, series: int = 0) -> None:
    """Files of their own: a drawn field is changed a little per file and series, so that no prediction is shared."""
    from cases.phantoms import LABELS, draw_field

    drawn = [np.asarray(draw_field(label, seed=7 + i, width_px=1280).image) for i, label in enumerate(LABELS)]
    for number in range(patients * fields):
        patient, field = divmod(number, fields)
        pixels = np.clip(drawn[patient % len(drawn)].astype(np.int16) + number % 9, 0, 255).astype(np.uint8)
        pixels[0, : 1 + number % 1200] = number % 251
        pixels[1, : 1 + series] = 255 - series
        path = folder / f"B{series}{patient:03d}" / f"{field:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, "JPEG", quality=90)


class Worker:
    """A worker that ends when nothing waits; its CPU seconds are told when it has ended."""

    def __init__(self, env: dict[str, str], core: int | None = None) -> None:
        command = [sys.executable, "manage.py", "run_jobs", "--queues", "infer", "--drain"]
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=ROOT, env=env)
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})

    def seconds_to(self, n: int, results: Any) -> float:
        """Until there are ``n`` results."""
        while results.count() < n:
            if self.process.poll() not in (None, 0):
                raise SystemExit("the worker ended early")
            time.sleep(0.02)
        return time.perf_counter() - self.begun

    def wait(self) -> None:
        _, code, _ = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(code)
        if self.process.returncode:
            raise SystemExit("the worker failed")


def bare_s(pipeline_folder: Path, source: Path) -> float:
    """Seconds of the networks alone over the same fields, without decoding, re-check, rules or rows."""
    from inference.pipeline.checkpoint import load_pipeline_folder
    from inference.pipeline.engine import open_engine
    from inference.pipeline.preprocess import decode

    pipeline = load_pipeline_folder(pipeline_folder)
    paths = sorted(source.rglob("*.jpg"))
    seconds = 0.0
    for model in {model.path: model for slot, model in pipeline.models.items() if slot != "single_model"}.values():
        precision = "bf16" if model.card.recheck_margins else "fp32"
        engine = open_engine(model, precision=precision)
        engine.infer(np.zeros((2, model.card.recipe.size_px, model.card.recipe.size_px, 3), dtype=np.uint8))
        for start in range(0, len(paths), 64):
            stack = np.stack([model.card.recipe.prepare(decode(p.read_bytes())) for p in paths[start : start + 64]])
            begun = time.perf_counter()
            engine.infer(stack)
            seconds += time.perf_counter() - begun
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--fields", type=int, default=12)
    parser.add_argument("--pipeline", type=Path, help="a pipeline folder instead of the shipped starter")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leukoweb-bench-") as name:
        folder = Path(name)
        env = environment(folder / "data")
        env.pop("DATABASE_URL", None)
        (folder / "data").mkdir()
        setup(env)
        report(measured(folder, env, options), options.results)


def measured(folder: Path, env: dict[str, str], options: argparse.Namespace) -> Result:
    from django.conf import settings
    from django.core.management import call_command

    from cases.models import Cohort
    from inference.models import PatientPrediction
    from inference.pipeline.rules import rule_set_named
    from inference.services.registry import pipeline_activate, pipeline_create, pipeline_import, starter_ensure
    from inference.services.runs import cohort_run_request

    call_command("migrate", verbosity=0)
    source = folder / "files"
    draw(source, options.patients, options.fields)
    begun = time.perf_counter()
    call_command("import_slides", str(source), cohort=COHORT, stdout=io.StringIO())
    taking_in = time.perf_counter() - begun
    cohort, chosen = Cohort.objects.get(name=COHORT), options.pipeline or Path(settings.STARTER_PIPELINE)
    starter_ensure()
    pipeline = pipeline_import(actor=None, folder=chosen)
    if not pipeline.is_active:
        pipeline_activate(actor=None, pipeline=pipeline, reason="benchmark")
    other = pipeline_create(
        actor=None, name="other rules", version="1", rule_set=rule_set_named(OTHER_RULES), models=pipeline.slots
    )
    n, results = options.patients * options.fields, PatientPrediction.objects
    rows: list[list[Any]] = [["files to stored images", taking_in, n / taking_in, None]]
    first = None
    for title, version in (
        ("stored images to results, new worker", pipeline),
        ("the same again, new worker", pipeline),
        (f"the rules {OTHER_RULES}, new worker", other),
    ):
        before = results.count()
        cohort_run_request(actor=None, cohort=cohort, pipeline=version, everything=True)
        worker = Worker(env)
        to_first = worker.seconds_to(before + 1, results)
        to_all = worker.seconds_to(before + options.patients, results)
        worker.wait()
        if first is None:
            first = to_all
            rows.append(["start of the worker to the first result", to_first, None, None])
        rows.append([title, to_all, n / to_all, first / to_all])
    alone = bare_s(chosen, source)
    rows.append(["the bare networks, from memory", alone, n / alone, first / alone if first else None])
    title = f"{options.patients} patients with {options.fields} fields of 1280 x 960, three models each ({chosen.name})"
    tables = [
        Table(title, ["", "s", "fields a second", "times faster"], rows),
        Table(
            "One queue, workers held to a core each, after the first result",
            ["workers", "fields a second", "times one worker"],
            scaling(folder, env, options, pipeline),
        ),
    ]
    return Result("cohort", "python -m benchmarks.cohort", tables)


def scaling(folder: Path, env: dict[str, str], options: argparse.Namespace, pipeline: Any) -> list[list[Any]]:
    """1, 2, 4, ... workers, as many as there are cores; each number with a cohort that nobody has seen."""
    from django.core.management import call_command

    from cases.models import Cohort
    from inference.models import PatientPrediction
    from inference.services.runs import cohort_run_request

    cores = sorted(os.sched_getaffinity(0))
    rows: list[list[Any]] = []
    for series in range(1, len(cores).bit_length() + 1):
        several = min(2 ** (series - 1), len(cores))
        source, name = folder / f"series{series}", f"{COHORT} {series}"
        draw(source, options.patients, options.fields, series)
        call_command("import_slides", str(source), cohort=name, stdout=io.StringIO())
        cohort_run_request(actor=None, cohort=Cohort.objects.get(name=name), pipeline=pipeline, everything=True)
        before = PatientPrediction.objects.count()
        started = [Worker(env, core) for core in cores[:several]]
        first = started[0].seconds_to(before + 1, PatientPrediction.objects)
        last = started[0].seconds_to(before + options.patients, PatientPrediction.objects)
        for worker in started:
            worker.wait()
        rate = (options.patients - 1) * options.fields / (last - first)
        rows.append([several, rate, rate / rows[0][1] if rows else 1.0])
    return rows


if __name__ == "__main__":
    main()
