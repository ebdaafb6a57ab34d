"""Mail readers whose session has opened, now. The daily job does the same (``reader_study.worker.reminders``)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.core.mail import mail_configured
from reader_study.services.reminders import reminders_send


class Command(BaseCommand):
    help = "Mail each reader whose next session may be read now, once. The daily job does it too; this does not wait."

    def handle(self, *args: Any, **options: Any) -> None:
        if not mail_configured():
            raise CommandError("No mail server is set: set EMAIL_URL (docs/settings.md). Nobody was written to.")
        done = reminders_send()
        self.stdout.write(f"{done.sent} reminder{'' if done.sent == 1 else 's'} sent.")
        if done.without_address:
            self.stdout.write(f"{done.without_address} open sessions have a reader without a mail address.")
        if done.failed:
            raise CommandError(f"{done.failed} mails were not taken by the mail server; the next run tries again.")
