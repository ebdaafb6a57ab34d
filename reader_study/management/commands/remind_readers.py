"""Mail readers whose session has opened. Run it once a day, for instance by cron."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from reader_study.services.reminders import reminders_send


class Command(BaseCommand):
    help = "Mail each reader whose next session may be read now, once. Without a mail server the mails are printed."

    def handle(self, *args: Any, **options: Any) -> None:
        sent, missing = reminders_send()
        self.stdout.write(f"{sent} reminder{'' if sent == 1 else 's'} sent.")
        if missing:
            self.stdout.write(f"{missing} open sessions have a reader without a mail address.")
