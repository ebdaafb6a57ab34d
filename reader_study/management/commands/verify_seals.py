"""``manage.py verify_seals``: every sealed session against what was signed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from reader_study.models import ReadingSession
from reader_study.services.seals import is_panels, seal_problem


class Command(BaseCommand):
    help = "Compare each seal with its readings and with the audit trail. Exit codes: 0 all fit, 1 some do not."

    def handle(self, *args: Any, **options: Any) -> None:
        sealed = ReadingSession.objects.filter(state=ReadingSession.State.SEALED)
        checked = wrong = rebuilt = 0
        for session in sealed.select_related("seal", "reader__study").order_by("pk"):
            if session.reader.study.reconstruction:  # rebuilt from published tables: nobody signed it
                rebuilt += 1
                continue
            if is_panels(session):
                continue
            checked += 1
            if problem := seal_problem(session):
                wrong += 1
                label = f"{session.reader.study.title}, session {session.number} of {session.reader.label}"
                self.stderr.write(f"{label}: {problem}")
        if wrong:
            raise CommandError(f"{wrong} of {checked} seals do not fit.", returncode=1)
        more = f" ({rebuilt} rebuilt from published tables have none)" if rebuilt else ""
        self.stdout.write(f"{checked} seals, all fit{more}. The audit trail itself: verify_audit.")
