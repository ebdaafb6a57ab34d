"""``manage.py backup FOLDER``: the database and the stored files, while people work."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.management.failures import told_in_one_line
from leukoweb.backup.service import backup_check, backup_take, backups_tidy


class Command(BaseCommand):
    help = "Take a backup into FOLDER (one sub-folder each; stored files are shared, so later backups are small)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--tidy", action="store_true", help="only delete files that no backup in FOLDER names")
        parser.add_argument("--verify", action="store_true", help="also hash the saved files, and mend damaged ones")
        parser.add_argument("--check", action="store_true", help="only verify the backup FOLDER (one with a manifest)")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"].expanduser().resolve()
        with told_in_one_line():
            if options["tidy"]:
                self.stdout.write(f"{backups_tidy(folder)} files removed.")
            elif options["check"]:
                self._check(folder)
            else:
                report = backup_take(folder, verify=options["verify"])
                self.stdout.write(
                    f"{report.folder}: database {report.place} and {report.n_files} files, {report.n_copied} of them"
                    " copied."
                )
                for name in report.missing:
                    self.stderr.write(f"stored file {name} is missing or damaged")
                if report.missing:
                    raise CommandError(
                        f"{len(report.missing)} stored files are missing or damaged; the rest is saved.", returncode=1
                    )

    def _check(self, folder: Path) -> None:
        if problems := backup_check(folder):
            for problem in problems:
                self.stderr.write(problem)
            raise CommandError(f"{len(problems)} problems.", returncode=1)
        self.stdout.write("The backup is complete and undamaged.")
