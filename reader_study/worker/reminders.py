"""The daily job that mails readers whose session has opened."""

from __future__ import annotations

from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.mail import mail_configured
from reader_study.services.reminders import reminders_send


def remind(context: JobContext) -> str:
    """Says no number: the Jobs page is open to readers, and how many others begin a session is not theirs to know."""
    done = reminders_send(context.check)
    if done.failed:
        raise DomainError(
            "Mails were not taken by the mail server.", code="E_MAIL",
            hint="Look at EMAIL_URL, then run it again; who was not written to is written to then.",
        )  # fmt: skip
    return "done" if mail_configured() else "no mail server is set"
