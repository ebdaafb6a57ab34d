"""Mails to readers. Their words are fixed: who else reads, what was read and what anybody has is in none of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from smtplib import SMTPException

from django.core.mail import EmailMessage, get_connection
from django.db import transaction

from leukoweb.core.audit import audit_record
from leukoweb.core.mail import mail_configured
from leukoweb.core.models import User
from reader_study.models import ReadingSession, Study
from reader_study.services.clock import day_text
from reader_study.services.guard import READING_STATES, locked_study, require_coordinator, require_state

_log = logging.getLogger(__name__)

SUBJECT = "Reading in leukoweb"
BODY = """You are asked to read in leukoweb.

Sign in here: {address}

The page shows what you can read now and, where a waiting time applies, from which day on. {closes}Please read
alone, and tell nobody about the cases. Questions go to the study's coordinator.
"""


@dataclass(frozen=True)
class Invitations:
    """Labels of the readers whose mail a mail server took, of those without an address, and of those whose mail it did
    not take (all, where no mail server is set)."""

    sent: tuple[str, ...]
    without_address: tuple[str, ...]
    failed: tuple[str, ...]


def invitations_send(*, actor: User, study: Study, address: str) -> Invitations:
    """Write to every reader with an unfinished session; what became of it is put on record afterwards.

    No transaction is open while the mail server is talked to: it may be slow, or dead.

    Raises
    ------
    Conflict
        The protocol is not locked, or reading is over.
    """
    wanted, without = _readers(actor, study)
    failed = _not_taken(wanted, invitation_text(study, address))
    sent = [label for label, _ in wanted if label not in failed]
    with transaction.atomic():
        audit_record(
            actor=actor, action="study.invite", target=f"study:{study.pk}",
            data={"readers": sent, "without": without, "failed": failed},
        )  # fmt: skip
    return Invitations(tuple(sent), tuple(without), tuple(failed))


@transaction.atomic
def _readers(actor: User, study: Study) -> tuple[list[tuple[str, str]], list[str]]:
    """(label, mail address) of those who have something to read, and labels of those of whom no address is known."""
    require_coordinator(actor, study)
    study = locked_study(study)
    require_state(study, READING_STATES, "nobody can be invited")
    unfinished = [ReadingSession.State.PLANNED, ReadingSession.State.OPEN]
    readers = study.readers.filter(withdrawn_at=None, user__is_active=True, sessions__state__in=unfinished)
    rows = readers.distinct().order_by("label").values_list("label", "user__email")
    return [(label, email) for label, email in rows if email], [label for label, email in rows if not email]


def invitation_text(study: Study, address: str) -> str:
    closes = f"The last day of reading is\n{day_text(study.closes_on)}. " if study.closes_on else ""
    return BODY.format(address=address, closes=closes)


def _not_taken(wanted: list[tuple[str, str]], text: str) -> list[str]:
    """Labels of those whose mail the server did not take. A server that is not there is waited for once."""
    everybody = [label for label, _ in wanted]
    if not wanted or not mail_configured():
        return everybody
    failed = []
    server = get_connection()
    try:
        server.open()
        for label, email in wanted:
            try:
                EmailMessage(SUBJECT, text, None, [email], connection=server).send()
            except (OSError, SMTPException) as error:
                _log.warning("An invitation could not be sent: %s", error)
                failed.append(label)
    except (OSError, SMTPException) as error:
        _log.warning("The mail server cannot be reached: %s", error)
        return everybody
    finally:
        server.close()
    return failed
