"""Removing what kills and withdrawals leave on the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils.module_loading import import_string

from cases.models import UploadItem
from cases.services.content import cache_sweep, named_contents, signatures_sweep
from cases.services.dataset_uploads import archives_wanted
from leukoweb.core.models import Job
from leukoweb.core.storage import blobs
from leukoweb.core.words import counted

DAY_S = 24 * 3600.0
_others: dict[str, str] = {}


def register_sweep(path: str, what: str) -> None:
    """Called from an app's ``ready()``: ``package.module:function(before) -> number removed``, and a word for one."""
    _others[path] = what


@dataclass(frozen=True)
class Swept:
    files: int
    archives: int
    cached: int
    others: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        more = [part for part in self.others if part[0]]
        parts = [(self.files, "stored file"), (self.archives, "archive"), (self.cached, "cached file"), *more]
        *first, last = (counted(*part) for part in parts)
        return f"{', '.join(first)} and {last} removed."


def media_sweep(*, older_than_s: float = DAY_S) -> Swept:
    """Delete stored files that no row names, pixels of withdrawn patients and all that was made of them, temporary
    files, abandoned archives and what other apps' work left.

    Rows are read first: a file that gets its row meanwhile is young, and the young are left alone.
    """
    before = time.time() - older_than_s
    named = named_contents()
    files = blobs().sweep(named, older_than_s=older_than_s)
    signatures_sweep()
    others = tuple((import_string(path.replace(":", "."))(before), what) for path, what in _others.items())
    return Swept(files, _sweep_archives(before), cache_sweep(named, before=before), others)


def _sweep_archives(before: float) -> int:
    """Archives that no unfinished job waits for: they may hold names, and metadata that nobody has taken out yet.

    One whose job failed or was cancelled stays for a retry until the age limit, counted from the end of the job.
    """
    datasets, waiting = archives_wanted(), _uploads_wanted(before)
    removed = 0
    for path in (Path(settings.DATA_DIR) / "uploads").glob("*"):
        number = int(path.stem) if path.suffix == ".zip" and path.stem.isdecimal() else None
        if number not in waiting and path.name not in datasets and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            if number is not None:
                _send_again(number)
            removed += 1
    return removed


def _uploads_wanted(before: float) -> set[int]:
    ended_late = Q(job__finished_at__gt=datetime.fromtimestamp(before, UTC))
    received = UploadItem.objects.filter(state=UploadItem.State.RECEIVED)
    return set(received.filter(Q(job__status__in=Job.ACTIVE) | ended_late).values_list("pk", flat=True))


def _send_again(number: int) -> None:
    """Its uploader is asked for the archive again; without a file its job could not go on."""
    UploadItem.objects.filter(pk=number, state=UploadItem.State.RECEIVED).update(
        state=UploadItem.State.EXPECTED, code="E_ARCHIVE_GONE", hint="Send it again, or close the upload.",
        message="The archive was not unpacked in time and has been removed.",
    )  # fmt: skip
