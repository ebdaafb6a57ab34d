"""``manage.py sweep_media``: delete stored files that no row names."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.models import UploadItem
from cases.services.content import named_contents
from leukoweb.core.storage import blobs

HOUR_S = 3600


class Command(BaseCommand):
    help = (
        "Delete stored files that no row names (left by a kill), pixels of withdrawn patients, and abandoned archives."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=float, default=24, metavar="HOURS", help="leave younger files alone (default: 24)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        age_s = options["older_than"] * HOUR_S
        # Rows are read first: a file that gets its row meanwhile is young.
        with told_in_one_line():
            removed = blobs().sweep(named_contents(), older_than_s=age_s)
            archives = _sweep_archives(time.time() - age_s)
        self.stdout.write(f"{removed} stored files and {archives} archives removed.")


def _sweep_archives(before: float) -> int:
    """Archives that no unfinished job waits for."""
    waiting = set(UploadItem.objects.filter(state=UploadItem.State.RECEIVED).values_list("pk", flat=True))
    removed = 0
    for path in (Path(settings.DATA_DIR) / "uploads").glob("*"):
        wanted = path.suffix == ".zip" and path.stem.isdecimal() and int(path.stem) in waiting
        if not wanted and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
