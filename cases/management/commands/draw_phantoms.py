"""``manage.py draw_phantoms``: a drawn development cohort, with labels, to try sorting, datasets and training."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.services.phantom_cohorts import phantom_cohort_draw, phantom_labels_import
from leukoweb.core.exceptions import DomainError


class Command(BaseCommand):
    help = "Draw a development cohort of phantoms (not people). Exit codes: 0 done, 2 wrong arguments."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cohort", required=True, metavar="NAME")
        parser.add_argument("--patients", type=int, default=20, help="default 20, at least 5")
        parser.add_argument("--images", type=int, help="in all; default 8 for each patient")
        parser.add_argument("--seed", type=int, default=1, help="another seed draws other patients, with other codes")
        parser.add_argument("--width", type=int, help="pixels across; default what the camera delivers")
        parser.add_argument("--labels", action="store_true", help="also write the drawing's labels as a sorting task")

    def handle(self, *args: Any, **options: Any) -> None:

        def tell(done: int, total: int, n_fields: int) -> None:
            if options["verbosity"] > 1:
                self.stdout.write(f"{done}/{total} patients, {n_fields} fields")

        n_images = options["images"] or 8 * options["patients"]
        with told_in_one_line():
            try:
                cohort, labels = phantom_cohort_draw(
                    actor=None, name=options["cohort"], n_patients=options["patients"], n_images=n_images,
                    seed=options["seed"], width_px=options["width"], tell=tell,
                )  # fmt: skip
            except ValueError as error:
                raise DomainError(str(error), code="E_PHANTOMS") from error
            self.stdout.write(f"{len(labels)} fields of {options['patients']} phantoms are in cohort {cohort}.")
            if options["labels"]:
                task = phantom_labels_import(actor=None, cohort=cohort, labels=labels)
                self.stdout.write(f"Their labels are the sorting task {task.name!r}.")
