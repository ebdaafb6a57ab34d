"""``manage.py verify_audit``: walk the hash chain of the audit trail."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.core.audit import chain_verify
from leukoweb.core.guards import missing_guards


class Command(BaseCommand):
    help = "Recompute every hash of the audit trail. Exit codes: 0 intact, 1 broken."

    def handle(self, *args: Any, **options: Any) -> None:
        report = chain_verify()
        if not report.intact:
            raise CommandError(f"Broken at event {report.broken_id}: {report.problem}.", returncode=1)
        if missing := missing_guards():
            raise CommandError(
                f"{report.n_events} events, intact, but {len(missing)} triggers are missing.", returncode=1
            )
        self.stdout.write(f"{report.n_events} events, the chain is intact, every trigger is in place.")
