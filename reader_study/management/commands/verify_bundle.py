"""``manage.py verify_bundle FILE``: recompute every table of a study bundle; needs no database."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.services.version import app_version
from reader_study.verification import verify


class Command(BaseCommand):
    help = (
        "Check a study bundle: hashes, results and every table, recomputed from its frozen inputs. Says which file and "
        "table differ. Needs no database. Exit code 1 when something differs."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the bundle (zip)")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            data = Path(options["file"]).read_bytes()
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror or error}.") from error
        verdict = verify(data, version=app_version())
        if options["format"] == "json":
            problems = [{"file": p.file, "table": p.table, "what": p.what} for p in verdict.problems]
            answer = {"intact": verdict.intact, "files": verdict.n_files, "tables": verdict.n_tables,
                      "problems": problems, "notes": verdict.notes}  # fmt: skip
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for note in verdict.notes:
                self.stdout.write(f"note: {note}")
            for problem in verdict.problems:
                self.stdout.write(f"differs: {problem}")
            if verdict.intact:
                done = f"{verdict.n_files} files intact, {verdict.n_tables} tables recomputed."
                self.stdout.write(f"{verdict.title}: {done}")
        if not verdict.intact:
            raise CommandError(f"{len(verdict.problems)} differences.")
