"""``manage.py export_results``: results as files, tables of all of them or one file for each run."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from inference.selectors.results import Result, result_get
from inference.selectors.runs import newest_results
from inference.services.cohort_results import result_tables, tables_record
from inference.services.interop import KINDS, interop_required, result_export
from leukoweb.core.exceptions import DomainError


class Command(BaseCommand):
    help = (
        "Write results as two CSV tables, or each as JSON, FHIR R4 Bundle or DICOM Comprehensive SR. Of a slide or "
        "cohort the newest result of each slide is taken. Exit codes: 0 written, 2 wrong arguments, no result, or "
        "nothing to write with."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--run", metavar="ID", help="the run's address, as on its page")
        what.add_argument("--slide", metavar="CODE")
        what.add_argument("--cohort", metavar="NAME")
        parser.add_argument(
            "--format", choices=["csv", *KINDS], required=True,
            help="csv: slides.csv and images.csv; json: as the result's page gives it; fhir: R4 Bundle; sr: DICOM SR",
        )  # fmt: skip
        parser.add_argument("--out", type=Path, required=True, help="folder; made if it is not there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            interop_required(options["format"])
            results = self._results(options)
            options["out"].mkdir(parents=True, exist_ok=True)
            if options["format"] == "csv":
                self._tables(options["out"], [result.run.pk for result in results])
            else:
                self._files(options["out"], results, options["format"])
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error

    def _tables(self, folder: Path, runs: Sequence[int]) -> None:
        tables_record(actor=None, runs=runs)
        for name, pieces in result_tables(runs):
            _write_whole(folder / name, pieces())
            self.stdout.write(str(folder / name))

    def _files(self, folder: Path, results: Sequence[Result], kind: str) -> None:
        for result in results:
            file = result_export(actor=None, result=result, kind=kind)
            _write_whole(folder / file.name, [file.data])
            self.stdout.write(f"{result.run.slide.code}: {folder / file.name}")

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


def _write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """All of it under its name, or nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
