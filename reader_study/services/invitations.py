"""Mails to readers. Their words are fixed: who else reads, what was read and what anybody has is in none of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from smtplib import SMTPException
from typing import NamedTuple

from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.mail import mail_configured
from leukoweb.core.models import AuditEvent, User
from reader_study.models import ReadingSession, Study
from reader_study.services.clock import day_text, over_everywhere
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
    """Labels of the readers whose mail a mail server took, of those without an address, of those whose mail it did
    not take (all, where no mail server is set), of those who are disabled, and of those who were invited before."""

    sent: tuple[str, ...]
    without_address: tuple[str, ...]
    failed: tuple[str, ...]
    disabled: tuple[str, ...]
    before: tuple[str, ...]


def invitations_send(*, actor: User, study: Study, address: str, again: bool = False) -> Invitations:
    """Write to every reader with an unfinished session whom no mail has invited yet; what became of it is put on record
    afterwards. ``again``: also to those who were invited.

    No transaction is open while the mail server is talked to: it may be slow, or dead.

    Raises
    ------
    Conflict
        The protocol is not locked, or reading is over, also by its last day.
    """
    rows = _readers(actor, study)
    done = invited(study)
    before = [] if again else [row.label for row in rows if row.active and row.label in done]
    due = [row for row in rows if row.active and row.label not in before]
    wanted, without = [(row.label, row.email) for row in due if row.email], [row.label for row in due if not row.email]
    disabled = [row.label for row in rows if not row.active]
    failed = _not_taken(wanted, invitation_text(study, address))
    sent = [label for label, _ in wanted if label not in failed]
    with transaction.atomic():
        audit_record(
            actor=actor, action="study.invite", target=f"study:{study.pk}",
            data={"readers": sent, "without": without, "failed": failed, "disabled": disabled},
        )  # fmt: skip
    return Invitations(tuple(sent), tuple(without), tuple(failed), tuple(disabled), tuple(before))


def invited(study: Study) -> set[str]:
    """Labels of the readers whose invitation a mail server took. 1 query."""
    events = AuditEvent.objects.filter(action="study.invite", target=f"study:{study.pk}")
    return {label for data in events.values_list("data", flat=True) for label in data.get("readers", [])}


class _Row(NamedTuple):
    label: str
    email: str
    active: bool


@transaction.atomic
def _readers(actor: User, study: Study) -> list[_Row]:
    """Everybody who has something to read here."""
    require_coordinator(actor, study)
    study = locked_study(study)
    require_state(study, READING_STATES, "nobody can be invited")
    unfinished = [ReadingSession.State.PLANNED, ReadingSession.State.OPEN]
    if study.closes_on and over_everywhere(study.closes_on, timezone.now()):
        raise Conflict(
            f"Reading in this study ended on {day_text(study.closes_on)}.", code="E_CLOSED",
            hint="Move the last day first, then invite.",
        )  # fmt: skip
    readers = study.readers.filter(withdrawn_at=None, user__isnull=False, sessions__state__in=unfinished)
    rows = readers.distinct().order_by("label").values_list("label", "user__email", "user__is_active")
    return [_Row(*row) for row in rows]


def invitation_text(study: Study, address: str) -> str:
    closes = f"The last day of reading is\n{day_text(study.closes_on)}. " if study.closes_on else ""
    return BODY.format(address=address, closes=closes)


def _not_taken(wanted: list[tuple[str, str]], text: str) -> list[str]:
    """Labels of those whose mail the server did not take. Each error ends its connection, so the next mail gets a new
    one; a server that is not there (any more) is waited for once."""
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
                server.close()
                server.open()
    except (OSError, SMTPException) as error:
        _log.warning("The mail server cannot be reached: %s", error)
        tried = everybody.index(failed[-1]) + 1 if failed else 0
        return failed + everybody[tried:]
    finally:
        server.close()
    return failed
