"""Several GPUs: the same trainer under torchrun, started by the job, which records each epoch that appears."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from inference.models import TrainingPart, TrainingRun
from inference.pipeline.dataset import ImageSet
from inference.pipeline.image_cache import CachedImages
from inference.pipeline.tether import tethered
from inference.worker.training_images import cache_folder
from inference.worker.training_start import Start
from inference.worker.training_withdrawals import entries_still
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext

POLL_S = 1.0
END_S = 60  # torchrun gives its processes 30 s, then kills them; killed before that, it leaves them behind


class DevicesFailed(DomainError):
    """A process of a training over several devices died; its last words are in the message."""

    code = "E_DEVICES"
    status = 500


def train_on_devices(
    context: JobContext, run: TrainingRun, part: TrainingPart, data: tuple[ImageSet, ImageSet], start: Start, say: Any
) -> Any:
    """As ``_train_full`` of ``worker.training`` on one device; what the processes read is written as a folder first."""
    import torch

    from inference.worker.training import run_folder, save_epoch

    n = min(torch.cuda.device_count(), run.plan.max_devices or torch.cuda.device_count())
    folder = run_folder(run) / part.part
    spec_folder = folder / f"devices-{context.claim.fence}"
    drop_pixels(folder)  # of an attempt that was killed
    done, process = part.epochs_done, None

    def save(*epoch: Any) -> None:
        entries_still(run, data)
        save_epoch(*epoch)

    try:
        resume = folder / part.state_name if part.state_name else None
        write_spec(spec_folder, run, data, start.source, resume=resume)
        say(f"Training on {n} devices.")
        process = launch(spec_folder, n)
        while process.poll() is None:
            time.sleep(POLL_S)
            context.check()
            done = _record(context, part, spec_folder, folder, done, save)
    finally:
        _end(process)
        drop_pixels(folder)
    _record(context, part, spec_folder, folder, done, save)
    if process.returncode:
        words = (spec_folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
        raise DevicesFailed(f"Training on {n} devices failed: {' '.join(words)[:300]}.", hint=f"See {spec_folder}.")
    from inference.pipeline.distributed import finished

    return finished(spec_folder, data)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def drop_pixels(folder: Path) -> None:
    """Remove the decoded images that `write_spec` wrote: a withdrawal would not find them here. States stay."""
    for path in folder.glob("devices-*/*.npy"):
        path.unlink(missing_ok=True)


def write_spec(
    folder: Path, run: TrainingRun, data: tuple[ImageSet, ImageSet], source: Any, resume: Path | None
) -> None:
    """The folder that ``inference.pipeline.distributed`` reads: configuration, targets, and where the pixels are."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = run.plan
    sides = []
    for name, side in zip(("training", "validation"), data, strict=True):
        if isinstance(side.images, CachedImages):
            contents = list(side.images.contents)
            sides.append({"contents": contents, "cache": str(cache_folder("pixels"))})
        else:
            np.save(folder / f"{name}.npy", np.asarray(side.images), allow_pickle=False)
            sides.append({"array": f"{name}.npy"})
        sides[-1] |= {
            "targets": side.targets.tolist(), "patients": list(side.patients), "classes": list(side.classes)
        }  # fmt: skip
    spec = {
        "architecture": plan.architecture, "recipe": plan.recipe.as_dict(), "settings": asdict(plan.settings),
        "initial_weights": None if source is None else str(source), "resume": None if resume is None else str(resume),
        "training": sides[0], "validation": sides[1],
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def launch(folder: Path, n_processes: int) -> subprocess.Popen[bytes]:
    """torchrun on this machine; everything that the processes say goes to ``log.txt``. It ends with this process: the
    next attempt after a kill would otherwise train beside it."""
    command = tethered("torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}",
                       "-m", "inference.pipeline.distributed", str(folder))  # fmt: skip
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own command line


def _record(context: JobContext, part: TrainingPart, spec: Path, folder: Path, done: int, save_epoch: Any) -> int:
    from inference.pipeline.train import Epoch
    from inference.worker.training import tell_progress

    lines = (spec / "epochs.jsonl").read_text().splitlines() if (spec / "epochs.jsonl").exists() else []
    for line in lines:
        entry = json.loads(line)
        epoch = Epoch(**entry["epoch"] | {"class_f1": tuple(entry["epoch"]["class_f1"])})
        if epoch.number > done and (spec / entry["state"]).exists():
            save_epoch(context, part, epoch, entry["best_epoch"], str((spec / entry["state"]).relative_to(folder)))
            tell_progress(context, part.run, part, epoch.number)
            done = epoch.number
    return done
