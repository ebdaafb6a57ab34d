"""``manage.py import_slides``: a folder of images into a cohort."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.acquisition_csv import parse_slides_csv
from cases.management.failures import table_source, told_in_one_line
from cases.models import Cohort
from cases.naming import NamePattern
from cases.services.import_plan import plan_import
from cases.services.imports import ImportReport, cohort_ensure, import_check, import_run
from leukoweb.core.exceptions import DomainError


class Command(BaseCommand):
    help = (
        "Import the images of a folder. Without a CSV or a pattern, a folder is one slide of one unnamed patient. "
        "Run it again at any time: what is there already is left alone, also where it was moved or got another code, "
        "and what was removed or withdrawn stays out. "
        "Exit codes: 0 everything is in, 1 some files were refused, 2 nothing could be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--cohort", required=True, metavar="NAME", help="made if there is none of this name")
        parser.add_argument(
            "--csv", type=Path, metavar="META.csv",
            help="columns: file (needed), patient, slide, order, reference, and any acquisition field",
        )  # fmt: skip
        parser.add_argument(
            "--patient-pattern", metavar="REGEX",
            help=r"reads the patient's code from a name, such as ^(\d+)_ ; groups named patient, slide, order work too",
        )  # fmt: skip
        parser.add_argument("--purpose", choices=Cohort.Purpose.values, help="of a new cohort (default: external)")
        parser.add_argument("--dry-run", action="store_true", help="check every file, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            report = self._import(options)
        for path, where in report.duplicates:
            self.stdout.write(f"duplicate  {path}  {where}")
        for path, where in report.elsewhere:
            self.stdout.write(f"elsewhere  {path}  {where}")
        for refusal in report.refusals:
            self.stderr.write(f"refused  {refusal.path}  {refusal.code}  {refusal.message} {refusal.hint}".rstrip())
        counts, *more = report.lines()
        self.stdout.write(("Dry run, nothing was written. Would be: " if options["dry_run"] else "") + counts)
        for line in more:
            self.stdout.write(line)
        if report.refusals:
            raise CommandError(f"{len(report.refusals)} files were refused.", returncode=1)

    def _import(self, options: dict[str, Any]) -> ImportReport:
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise DomainError(f"{str(folder)!r} is not a folder.", code="E_FOLDER")
        pattern = NamePattern.compile(options["patient_pattern"]) if options["patient_pattern"] else None
        table = _read(options["csv"]) if options["csv"] else None
        rows = parse_slides_csv(table) if table is not None else None
        plan = plan_import(folder, pattern=pattern, rows=rows)
        if options["dry_run"]:
            return import_check(plan, options["cohort"])
        cohort = cohort_ensure(actor=None, name=options["cohort"], purpose=options["purpose"])
        source = table_source(table) if table is not None else ""
        tell = self.stdout.write if options["verbosity"] > 1 else None
        return import_run(actor=None, cohort=cohort, plan=plan, source=source, tell=tell)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DomainError(f"{str(path)!r} cannot be read: {error.strerror}.", code="E_FILE_MISSING") from error
