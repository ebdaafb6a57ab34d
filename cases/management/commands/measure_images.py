"""``manage.py measure_images``: measure the quality of images here and now, without a worker."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.management.rows import cohorts_named
from cases.selectors.curation import contents_unmeasured
from cases.services.curation import contents_measure


class Command(BaseCommand):
    help = "Measure every image that was not measured yet. Exit codes: 0 done, 2 wrong arguments."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cohort", action="append", metavar="NAME", help="repeatable; default: every cohort")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            cohorts = cohorts_named(options["cohort"]) if options["cohort"] else None
            waiting = contents_unmeasured(cohorts)

            def tell(n: int) -> None:
                if options["verbosity"] > 1 or n % 100 == 0:
                    self.stdout.write(f"{n} of {len(waiting)}")

            n = contents_measure(waiting, tell)
            self.stdout.write(f"{n} images measured.")
            if n < len(waiting):
                lost = len(waiting) - n
                self.stderr.write(f"{lost} stored files could not be read; `manage.py verify_media` names them.")
