"""Mails to readers. Their words are fixed: who else reads, what was read and what anybody has is in none of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.core.mail import send_mail
from django.db import transaction

from leukoweb.core.audit import audit_record
from leukoweb.core.models import User
from reader_study.models import ReadingSession, Study
from reader_study.services.clock import day_text
from reader_study.services.guard import READING_STATES, locked_study, require_coordinator, require_state

SUBJECT = "Reading in leukoweb"
BODY = """You are asked to read in leukoweb.

Sign in here: {address}

The page shows what you can read now and, where a waiting time applies, from which day on. {closes}Please read
alone, and tell nobody about the cases. Questions go to the study's coordinator.
"""


@dataclass(frozen=True)
class Invitations:
    """Labels of the readers who were written to, and of those without a mail address."""

    sent: tuple[str, ...]
    without_address: tuple[str, ...]


@transaction.atomic
def invitations_send(*, actor: User, study: Study, address: str) -> Invitations:
    """Write to every reader with an unfinished session. The mails leave after the commit; a dead mail server loses
    nothing but the mails.

    Raises
    ------
    Conflict
        The protocol is not locked, or reading is over.
    """
    require_coordinator(actor, study)
    study = locked_study(study)
    require_state(study, READING_STATES, "nobody can be invited")
    unfinished = [ReadingSession.State.PLANNED, ReadingSession.State.OPEN]
    readers = study.readers.filter(withdrawn_at=None, user__is_active=True, sessions__state__in=unfinished)
    sent, without = [], []
    for reader in readers.select_related("user").distinct().order_by("label"):
        if reader.user is not None and reader.user.email:
            sent.append(reader.label)
            transaction.on_commit(partial(_send, reader.user.email, invitation_text(study, address)), robust=True)
        else:
            without.append(reader.label)
    audit_record(
        actor=actor, action="study.invite", target=f"study:{study.pk}", data={"readers": sent, "without": without}
    )
    return Invitations(tuple(sent), tuple(without))


def invitation_text(study: Study, address: str) -> str:
    closes = f"The last day of reading is\n{day_text(study.closes_on)}. " if study.closes_on else ""
    return BODY.format(address=address, closes=closes)


def _send(to: str, text: str) -> None:
    send_mail(SUBJECT, text, None, [to])
