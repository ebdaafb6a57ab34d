"""Ending sessions that must not go on. Answers that were given stay where they are; none becomes a reading."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.models import Role, User
from reader_study.models import ReadingSession, StudyReader

_UNFINISHED = (ReadingSession.State.PLANNED, ReadingSession.State.OPEN)


@transaction.atomic
def session_void(*, actor: User | None, session: ReadingSession, reason: str) -> bool:
    """Make an unfinished session void. False if it was sealed or void already: a seal is never taken back.

    One conditional UPDATE, so that a seal and a voiding that race end as exactly one of the two.
    """
    won = ReadingSession.objects.filter(pk=session.pk, state__in=_UNFINISHED).update(state=ReadingSession.State.VOID)
    if won:
        audit_record(
            actor=actor, action="session.void", target=f"session:{session.pk}", reason=reason,
            data={"study": session.reader.study_id, "reader": session.reader.label, "number": session.number,
                  "was": session.state},
        )  # fmt: skip
    return bool(won)


@transaction.atomic
def reader_withdraw(*, actor: User | None, reader: StudyReader, reason: str) -> int:
    """The reader reads no more. Returns how many sessions became void; sealed ones stay as they are."""
    StudyReader.objects.filter(pk=reader.pk, withdrawn_at=None).update(withdrawn_at=timezone.now())
    sessions = reader.sessions.filter(state__in=_UNFINISHED).select_related("reader").order_by("pk")
    voided = sum(session_void(actor=actor, session=session, reason=reason) for session in sessions)
    audit_record(
        actor=actor, action="study.reader_withdraw", target=f"study:{reader.study_id}", reason=reason,
        data={"reader": reader.label, "voided": voided},
    )  # fmt: skip
    return voided


@transaction.atomic
def role_changed(*, actor: User | None, user: User, reason: str = "") -> int:
    """Whoever stops being a pathologist, for instance by becoming a coordinator, reads no more."""
    if user.role == Role.PATHOLOGIST:
        return 0
    readers = StudyReader.objects.filter(user=user, withdrawn_at=None, sessions__state__in=_UNFINISHED).distinct()
    why = f"the reader became {user.get_role_display().lower()}" + (f": {reason}" if reason else "")
    return sum(reader_withdraw(actor=actor, reader=reader, reason=why) for reader in readers)
