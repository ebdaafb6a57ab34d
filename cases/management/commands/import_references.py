"""``manage.py import_references``: reference diagnoses from a CSV."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.acquisition_csv import parse_references_csv
from cases.management.failures import table_source, told_in_one_line
from cases.services.reference_tables import references_import


class Command(BaseCommand):
    help = (
        "Enter reference diagnoses, all or none. Columns: patient and diagnosis (needed), source, decided_on, "
        "transformed, note. Exit codes: 0 done, 2 nothing was entered."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("csv", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["csv"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{str(path)!r} cannot be read: {error.strerror}.", returncode=2) from error
        with told_in_one_line():
            rows = parse_references_csv(data)
            plan = references_import(
                actor=None, rows=rows, source=table_source(data), dry_run=options["dry_run"],
                table_sha256=hashlib.sha256(data).hexdigest(),
            )  # fmt: skip
        before = "Dry run, nothing was written. Would be: " if options["dry_run"] else ""
        self.stdout.write(f"{before}{plan.n_new + plan.n_changed} new references, {plan.n_same} unchanged.")
