"""What trainings leave on the disk when they are killed: states nobody will go on from, and pixels."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from inference.models import TrainingPart, TrainingRun
from inference.selectors.training import withdrawn_since
from leukoweb.core.models import Job

CONTINUES = (Job.Status.FAILED, Job.Status.CANCELLED)


def trainings_sweep(before: float) -> int:
    """Remove the files, last written before that time, of trainings that do not run. Returns how many.

    A training over several GPUs that is killed leaves the pixels of its images, also of patients who are withdrawn
    later. What stays is the one state of each part from which "Continue" goes on: weights, no pixels; it goes, too,
    once a patient from whom it has learned is withdrawn.
    """
    removed = 0
    for folder in _folders():
        run = TrainingRun.objects.select_related("job").filter(public_id=folder.name).first()
        if run is not None and run.job is not None and run.job.is_active:
            continue
        kept = _states(run, folder) if run is not None and run.job is not None else set()
        for path in sorted(folder.rglob("*"), reverse=True):  # what lies inside a folder before the folder
            with contextlib.suppress(FileNotFoundError):
                if not path.is_dir() and path not in kept and path.lstat().st_mtime < before:
                    path.unlink()
                    removed += 1
            _drop_if_empty(path)
        _drop_if_empty(folder)
    return removed


def _folders() -> Iterator[Path]:
    """Those that are named as runs are; nobody else's."""
    root = Path(settings.DATA_DIR) / "training"
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        with contextlib.suppress(ValueError):
            uuid.UUID(folder.name)
            yield folder


def _states(run: TrainingRun, folder: Path) -> set[Path]:
    if run.job is None or run.job.status not in CONTINUES or withdrawn_since(run):
        return set()
    parts = TrainingPart.objects.filter(run=run, model=None).exclude(state_name="")
    return {folder / part.part / part.state_name for part in parts}


def _drop_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file, or a folder that still holds something
        path.rmdir()
