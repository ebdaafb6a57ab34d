"""``manage.py import_pipeline``: register a model or pipeline from a folder or zip."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.models import ModelVersion, PipelineVersion
from inference.pipeline.checkpoint import PIPELINE_NAME
from inference.services.archives import archive_import
from inference.services.registry import model_import, pipeline_activate, pipeline_import
from leukoweb.core.exceptions import DomainError


class Command(BaseCommand):
    help = "Register a model folder, a pipeline folder, or a zip of either. Importing the same again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="folder or zip")
        parser.add_argument("--activate", action="store_true", help="make the imported pipeline the active one")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"]
        if not path.exists():
            raise CommandError(f"There is no {path}.", returncode=2)
        try:
            entry = self._import(path)
            if options["activate"]:
                if not isinstance(entry, PipelineVersion):
                    raise DomainError(f"{entry} is a model.", hint="Only a pipeline can be activated.")
                entry = pipeline_activate(actor=None, pipeline=entry, reason="import_pipeline --activate")
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=1) from error
        active = ", active" if isinstance(entry, PipelineVersion) and entry.is_active else ""
        self.stdout.write(f"{entry._meta.verbose_name} {entry}{active}")

    def _import(self, path: Path) -> ModelVersion | PipelineVersion:
        if path.is_file():
            with path.open("rb") as file:
                return archive_import(actor=None, file=file)
        if (path / PIPELINE_NAME).is_file():
            return pipeline_import(actor=None, folder=path)
        return model_import(actor=None, folder=path)
