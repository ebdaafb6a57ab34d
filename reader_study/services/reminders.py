"""Mails that a session may be read now. They say that and no more: no case, no answer, no date of the first reading."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from reader_study.models import ReadingSession
from reader_study.selectors.reading import due_reminders

SUBJECT = "A reading session is open for you"
TEXT = """Hello {name},

session {number} of the study “{title}” is open for you now. Sign in and choose Reading.

You can stop at any time and go on later; every answer is saved at once.
{closes}"""


def reminders_send() -> tuple[int, int]:
    """Remind each reader of each session that has opened, once. Returns (sent, without an address).

    A session is marked before its mail goes out, so that two runs at once do not send it twice.
    """
    sent = missing = 0
    for session in due_reminders().filter(opens_at__lte=timezone.now()):
        user = session.reader.user
        if user is None or not user.email:
            missing += 1
        elif _mark(session):
            send_mail(SUBJECT, reminder_text(session), settings.DEFAULT_FROM_EMAIL, [user.email])
            sent += 1
    return sent, missing


def reminder_text(session: ReadingSession) -> str:
    closes = session.rules["closes_on"]
    return TEXT.format(
        name=session.reader.user, number=session.number, title=session.rules["title"],
        closes=f"Reading in this study ends on {closes}.\n" if closes else "",
    )  # fmt: skip


@transaction.atomic
def _mark(session: ReadingSession) -> bool:
    won = ReadingSession.objects.filter(pk=session.pk, reminded_at=None).update(reminded_at=timezone.now())
    if won:
        audit_record(actor=None, action="reading.remind", target=f"session:{session.pk}")
    return bool(won)
