"""``manage.py promote``: make a pipeline the active one, or go back to the one before."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.selectors.registry import pipeline_active, pipeline_named
from inference.selectors.training import promotions
from inference.services.promotion import pipeline_promote, pipeline_roll_back
from leukoweb.core.exceptions import Conflict, DomainError


class Command(BaseCommand):
    help = "Promote a pipeline, or roll the newest promotion back. Exit code 2: refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("pipeline", nargs="?", metavar="NAME:VERSION")
        what.add_argument("--back", action="store_true", help="roll the newest promotion back")
        parser.add_argument(
            "--instead-of", metavar="NAME:VERSION", help="refuse if another one is active by then (default: no check)"
        )
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["back"]:
                newest = promotions().first()
                if newest is None:
                    raise Conflict("Nothing was ever promoted.")
                done = pipeline_roll_back(actor=None, promotion=newest, reason=options["reason"])
            else:
                seen = pipeline_named(options["instead_of"]) if options["instead_of"] else pipeline_active()
                done = pipeline_promote(
                    actor=None, pipeline=pipeline_named(options["pipeline"]), reason=options["reason"],
                    instead_of=seen.pk if seen else None,
                )  # fmt: skip
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        self.stdout.write(f"{done} is active. Earlier results stay; cohort pages say what needs a rerun.")
