"""``manage.py study_status``: how far studies are. States, counts and times; never an answer."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from reader_study.models import Study
from reader_study.selectors.grid import study_grid
from reader_study.selectors.studies import progress_of, protocol_current, with_counts


class Command(BaseCommand):
    help = "Show the state of all studies, or of one with its sessions. Exit codes: 0, 2 no such study."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", metavar="TITLE", nargs="?")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        studies = with_counts(Study.objects.order_by("-id"))
        if options["study"]:
            studies = studies.filter(title=options["study"])
            if not studies:
                raise CommandError(f"There is no study {options['study']!r}.", returncode=2)
        found = [self._status(study) for study in studies]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        if not found:
            self.stdout.write("There is no study.")
        for one in found:
            version = f"protocol {one['protocol_version']}" if one["protocol_version"] else "not locked"
            self.stdout.write(f"{one['title']}: {one['progress']}, {version}, {one['n_cases']} cases")
            for session in one["sessions"]:
                self.stdout.write(
                    f"  {session['reader']:<8} {session['number']}  {session['state']:<8} "
                    f"{session['n_done']:>4} of {one['n_cases']}"
                )

    def _status(self, study: Study) -> dict[str, Any]:
        codes, rows = study_grid(study)
        now = progress_of(study)
        locked = protocol_current(study)
        return {
            "id": str(study.public_id), "title": study.title, "state": now.state, "progress": now.words,
            "n_cases": len(codes),
            "protocol_version": locked.version if locked else None, "sha256": locked.sha256 if locked else None,
            "closes_on": study.closes_on.isoformat() if study.closes_on else None,
            "sessions": [
                {"reader": row.session.reader.label, "number": row.session.number, "arm": row.session.arm,
                 "state": row.session.state, "n_done": row.n_done, "median_seconds": row.median_seconds}
                for row in rows
            ],
        }  # fmt: skip
