"""``manage.py sweep_media``: delete stored files that no row names."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.services.sweeping import media_sweep

HOUR_S = 3600


class Command(BaseCommand):
    help = (
        "Delete stored files that no row names (left by a kill), pixels of withdrawn patients, and abandoned archives. "
        "The keeper queues this once a day by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=float, default=24, metavar="HOURS", help="leave younger files alone (default: 24)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            swept = media_sweep(older_than_s=options["older_than"] * HOUR_S)
        self.stdout.write(str(swept))
