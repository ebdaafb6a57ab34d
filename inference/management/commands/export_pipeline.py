"""``manage.py export_pipeline``: a registered pipeline as a zip that another installation imports."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.selectors.registry import pipeline_active, pipeline_named
from inference.services.archives import archive_name, pipeline_export
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.files import whole_file


class Command(BaseCommand):
    help = "Write a pipeline with all its models (weights, ONNX, cards) to a zip."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("pipeline", nargs="?", metavar="NAME:VERSION", help="default: the active one")
        parser.add_argument("--out", type=Path, help="file or folder; default: here, named after the pipeline")
        parser.add_argument("--force", action="store_true", help="overwrite an existing file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            pipeline = pipeline_named(options["pipeline"]) if options["pipeline"] else pipeline_active()
            if pipeline is None:
                raise NotFound("No pipeline is active.", hint="Name one as NAME:VERSION.")
            out = options["out"] or Path(archive_name(pipeline))
            if out.is_dir():
                out = out / archive_name(pipeline)
            if out.exists() and not options["force"]:
                raise DomainError(f"{out} exists.", hint="Use --force to overwrite it.")
            with whole_file(out) as file:
                pipeline_export(actor=None, pipeline=pipeline, out=file)
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=1) from error
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.", returncode=1) from error
        self.stdout.write(str(out))
