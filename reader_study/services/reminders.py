"""Mails that a session may be read now. They say that and no more: no case, no answer, no date of the first reading."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.mail import mail_configured
from reader_study.models import ReadingSession
from reader_study.selectors.reading import due_reminders
from reader_study.services.clock import is_over, last_day

_log = logging.getLogger(__name__)

SUBJECT = "A reading session is open for you"
TEXT = """Hello {name},

session {number} of the study “{title}” is open for you now. Sign in and choose Reading.

You can stop at any time and go on later; every answer is saved at once.
{closes}"""


@dataclass(frozen=True)
class Reminders:
    """How many mails went out, how many readers have no address, and how many mails the server did not take."""

    sent: int = 0
    without_address: int = 0
    failed: int = 0


def reminders_send(check: Callable[[], None] = lambda: None) -> Reminders:
    """Remind each reader of each session that has opened, once. ``check`` is called between mails and may raise.

    A session is marked before its mail goes out, so that two runs at once do not send it twice; a mail that was not
    taken gives the mark back, so that the next run tries again, and keeps nobody else's mail from going out.
    """
    if not mail_configured():
        return Reminders()  # unmarked: whoever waits is written to once there is a mail server
    sent = missing = failed = 0
    now = timezone.now()
    for session in [session for session in due_reminders(now) if not is_over(session, now)]:
        check()
        user = session.reader.user
        if user is None or not user.email:
            missing += 1
        elif _mark(session):
            try:
                send_mail(SUBJECT, reminder_text(session), settings.DEFAULT_FROM_EMAIL, [user.email])
                sent += 1
            except (OSError, SMTPException) as error:
                ReadingSession.objects.filter(pk=session.pk).update(reminded_at=None)
                _log.warning("A reminder could not be sent: %s", error)
                failed += 1
    return Reminders(sent, missing, failed)


def reminder_text(session: ReadingSession) -> str:
    last = last_day(session, timezone.now())
    return TEXT.format(
        name=session.reader.user, number=session.number, title=session.rules["title"],
        closes=f"The last day of reading is {last.text}.\n" if last else "",
    )  # fmt: skip


@transaction.atomic
def _mark(session: ReadingSession) -> bool:
    won = ReadingSession.objects.filter(pk=session.pk, reminded_at=None).update(reminded_at=timezone.now())
    if won:
        audit_record(actor=None, action="reading.remind", target=f"session:{session.pk}")
    return bool(won)
