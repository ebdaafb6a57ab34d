"""Removing what kills and withdrawals leave on the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from cases.models import UploadItem
from cases.services.content import named_contents
from cases.services.dataset_uploads import archives_wanted
from leukoweb.core.storage import blobs
from leukoweb.core.words import counted

DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Swept:
    files: int
    archives: int

    def __str__(self) -> str:
        return f"{counted(self.files, 'stored file')} and {counted(self.archives, 'archive')} removed."


def media_sweep(*, older_than_s: float = DAY_S) -> Swept:
    """Delete stored files that no row names, pixels of withdrawn patients, temporary files and abandoned archives.

    Rows are read first: a file that gets its row meanwhile is young, and the young are left alone.
    """
    before = time.time() - older_than_s
    files = blobs().sweep(named_contents(), older_than_s=older_than_s)
    return Swept(files, _sweep_archives(before))


def _sweep_archives(before: float) -> int:
    """Archives that no unfinished job waits for."""
    datasets = archives_wanted()
    waiting = set(UploadItem.objects.filter(state=UploadItem.State.RECEIVED).values_list("pk", flat=True))
    removed = 0
    for path in (Path(settings.DATA_DIR) / "uploads").glob("*"):
        wanted = path.suffix == ".zip" and path.stem.isdecimal() and int(path.stem) in waiting
        wanted = wanted or path.name in datasets
        if not wanted and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
