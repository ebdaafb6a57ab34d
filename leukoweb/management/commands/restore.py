"""``manage.py restore BACKUP``: into an empty installation, and proof that it is what was saved."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.management.failures import told_in_one_line
from leukoweb.backup.service import backup_read, backup_restore


class Command(BaseCommand):
    help = "Restore BACKUP (a folder with a manifest.json) into this installation, whose database must be empty."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("backup", type=Path)
        parser.add_argument(
            "--without-damaged", action="store_true", help="restore all the rest of a backup with damaged files"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["backup"].expanduser().resolve()
        with told_in_one_line():
            manifest = backup_read(folder)
            problems = backup_restore(folder, without_damaged=options["without_damaged"])
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            raise CommandError(f"Restored, but {len(problems)} things differ from the backup.", returncode=1)
        rows = sum(table["rows"] for table in manifest["tables"].values())
        self.stdout.write(
            f"Restored and verified: {len(manifest['tables'])} append-only tables with {rows} rows, "
            f"{len(manifest['files'])} files, the audit chain. Now run `manage.py migrate` and start."
        )
