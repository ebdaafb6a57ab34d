"""``manage.py export_results``: results as files for other systems, one file for each run."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from inference.selectors.results import Result, result_get
from inference.selectors.runs import newest_results
from inference.services.interop import KINDS, interop_required, result_export
from leukoweb.core.exceptions import DomainError


class Command(BaseCommand):
    help = (
        "Write results as FHIR R4 Bundles or DICOM Comprehensive SR documents. Of a slide or cohort the newest result "
        "of each slide is taken. Exit codes: 0 written, 2 wrong arguments, no result, or nothing to write with."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--run", metavar="ID", help="the run's address, as on its page")
        what.add_argument("--slide", metavar="CODE")
        what.add_argument("--cohort", metavar="NAME")
        parser.add_argument("--format", choices=sorted(KINDS), required=True, help="fhir: R4 Bundle; sr: DICOM SR")
        parser.add_argument("--out", type=Path, required=True, help="folder; made if it is not there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            interop_required(options["format"])
            results = self._results(options)
            options["out"].mkdir(parents=True, exist_ok=True)
            for result in results:
                file = result_export(actor=None, result=result, kind=options["format"])
                _write_whole(options["out"] / file.name, file.data)
                self.stdout.write(f"{result.run.slide.code}: {options['out'] / file.name}")
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error

    def _results(self, options: dict[str, Any]) -> list[Result]:
        if options["run"]:
            try:
                return [result_get(UUID(options["run"]))]
            except ValueError as error:
                raise DomainError(f"{options['run'][:60]!r} is not the address of a run.") from error
        runs = newest_results(slide_code=options["slide"] or "", cohort_name=options["cohort"] or "")
        if not runs:
            where = f"slide {options['slide']!r}" if options["slide"] else f"cohort {options['cohort']!r}"
            raise DomainError(f"There is no result of {where}.", hint="Run the pipeline first: run_pipeline.")
        return [Result(run) for run in runs]


def _write_whole(path: Path, data: bytes) -> None:
    """All of it under its name, or nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
