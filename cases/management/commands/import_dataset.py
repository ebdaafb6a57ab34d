"""``manage.py import_dataset``: an exported dataset as a cohort with its labels."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.models import Cohort
from cases.services.dataset_imports import Target, dataset_import


class Command(BaseCommand):
    help = (
        "Import a folder or zip with images.csv (file, patient, slide, label) or coco/*.json. Its labels become a "
        "sorting task. Exit codes: 0 done, 2 wrong arguments or files."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--cohort", required=True, metavar="NAME", help="made where it is missing")
        parser.add_argument("--purpose", choices=Cohort.Purpose.values, default=Cohort.Purpose.DEVELOPMENT)
        parser.add_argument("--prefix", default="", help="put before every patient and slide code")

    def handle(self, *args: Any, **options: Any) -> None:
        def tell(done: int, total: int) -> None:
            if options["verbosity"] > 1 or done % 200 == 0:
                self.stdout.write(f"{100 * done // total} %")

        with told_in_one_line():
            target = Target(options["cohort"], options["purpose"], options["prefix"])
            done = dataset_import(actor=None, path=options["path"], target=target, tell=tell)
        cohorts = " and ".join(cohort.name for cohort in done.cohorts)
        self.stdout.write(f"{done.n_new} new images in cohort {cohorts}; labels: sorting task {done.task.name!r}.")
