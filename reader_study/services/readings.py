"""What a reader does in a session: open it, show a case, answer, report what was seen. Blind: own tables only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from reader_study.answers import Answer, answer_clean, empty_answer
from reader_study.models import DraftEvent, DraftReading, ReadingSession, SessionCase, SessionImage, StudyReader
from reader_study.selectors.reading import is_complete, nothing_here, session_cases
from reader_study.services.clock import last_day, require_clock, require_open_time, zone_of

State = ReadingSession.State


class AnswerConflict(Conflict):
    """Another window or device was faster; both answers are shown and the reader chooses."""

    code = "E_VERSION"

    def __init__(self, draft: DraftReading) -> None:
        super().__init__("This case was answered elsewhere meanwhile.", hint="Choose which answer stays.")
        self.version = draft.version
        self.answer = empty_answer() | draft.answer


class TextChanged(Conflict):
    code = "E_STALE"

    def __init__(self) -> None:
        super().__init__(
            "The text of this study changed after you opened this page.", hint="Read it again, then begin."
        )


class CaseGone(Conflict):
    code = "E_GONE"

    def __init__(self) -> None:
        super().__init__("This case was withdrawn from the study.", hint="There is nothing to do; go on.")


@dataclass(frozen=True)
class Saved:
    version: int
    at: datetime


def locked_session(session: ReadingSession) -> ReadingSession:
    """The session under its row lock, still open. One reader's writes, a seal and a close come one after the other.

    On SQLite the transaction itself began with the write lock.
    """
    locked = ReadingSession.objects.select_for_update(of=("self",)).select_related("reader").get(pk=session.pk)
    if locked.state != State.OPEN:
        raise nothing_here()
    require_not_closed(locked)
    return locked


def require_not_closed(session: ReadingSession, *, told: bool = False) -> None:
    """After the study's last day no answer comes in; what was answered stays. ``told``: as in ``last_day``."""
    last = last_day(session, timezone.now(), told=told)
    if last is not None and last.over:
        kept = "Your answers are kept. " if session.state == State.OPEN else ""
        raise Conflict(
            f"Reading in this study ended on {last.text}.", code="E_CLOSED",
            hint=f"{kept}Ask the study coordinator whether the last day can be moved.",
        )  # fmt: skip


@transaction.atomic
def session_open(
    *, actor: User, session: ReadingSession, agreed: bool, time_zone: str, version: int | None
) -> ReadingSession:
    """Begin a session: consent is on record, the washout is over. Opening it again changes nothing.

    Parameters
    ----------
    version
        Of the protocol whose instructions and consent the reader's page showed.

    Raises
    ------
    DomainError
        The reader did not agree.
    NotOpenYet
        The washout runs (with the date), or the session before is not sealed.
    TextChanged
        The protocol was amended since the page was shown: consent counts for what was read.
    """
    session = ReadingSession.objects.select_for_update(of=("self",)).select_related("reader").get(pk=session.pk)
    if session.state == State.OPEN:
        return session
    if session.state != State.PLANNED:
        raise nothing_here()
    now = timezone.now()
    StudyReader.objects.filter(pk=session.reader_id).update(time_zone=str(zone_of(time_zone)))
    session.reader.time_zone = str(zone_of(time_zone))
    require_not_closed(session, told=True)
    require_clock(session, now)
    require_open_time(session, now)
    if version != session.rules["version"]:
        raise TextChanged
    if not agreed:
        raise DomainError("Tick that you have read this and agree.", field="agreed")
    StudyReader.objects.filter(pk=session.reader_id, consented_at=None).update(consented_at=now)
    session.state, session.opened_at = State.OPEN, now
    session.save(update_fields=["state", "opened_at"])
    audit_record(
        actor=actor, action="reading.open", target=f"session:{session.pk}",
        data={"number": session.number, "arm": session.arm, "consent": True, "protocol": session.rules["version"]},
    )  # fmt: skip
    return session


@transaction.atomic
def case_show(*, session: ReadingSession, case: SessionCase) -> None:
    """Go to a case. Forward only: to the current one, or to the next once the current one is complete.

    Raises
    ------
    Conflict
        The protocol does not let the reader go there.
    """
    session = locked_session(session)
    if session.rules["navigation"] != "free" and case.position != session.current:
        if case.position != session.current + 1:
            raise Conflict("This study is read forward only.", code="E_FORWARD", hint="Go on with the current case.")
        require_complete(session, session.current)
    now = timezone.now()
    SessionCase.objects.filter(pk=case.pk, opened_at=None).update(opened_at=now)
    SessionCase.objects.filter(pk=case.pk).update(last_at=now)
    ReadingSession.objects.filter(pk=session.pk).update(current=case.position)


def require_complete(session: ReadingSession, position: int) -> None:
    case = session_cases(session).get(position=position)
    if not is_complete(case, session.rules):
        raise Conflict(
            "This case is not finished.", code="E_UNFINISHED",
            hint="Look at every field, then give a diagnosis or say why you cannot.",
        )  # fmt: skip


def next_case(session: ReadingSession) -> SessionCase | None:
    """The case after the current one, for reading forward only."""
    return SessionCase.objects.filter(session=session, position=session.current + 1).first()


@transaction.atomic
def answer_save(
    *, session: ReadingSession, case: SessionCase, key: uuid.UUID, version: int, answer: Any
) -> Saved:  # fmt: skip
    """Store the answer as it stands now. The same key again is the same deed.

    Parameters
    ----------
    version
        The draft's version that the reader's page showed; another one is refused with what is stored.

    Raises
    ------
    AnswerConflict
        The draft has changed since; nothing was stored.
    AnswerRefused
        See ``reader_study.answers``.
    CaseGone
        The patient was withdrawn.
    """
    session = locked_session(session)
    done = DraftEvent.objects.filter(case=case, key=key).values_list("version", "at").first()
    if done:  # its reply was lost; also where the reader went on meanwhile
        return Saved(*done)
    if session.rules["navigation"] != "free" and case.position != session.current:
        raise Conflict("This case was left already.", code="E_FORWARD", hint="This study is read forward only.")
    if SessionCase.objects.filter(pk=case.pk).exclude(gone_at=None).exists():
        raise CaseGone
    new = answer_clean(answer, rules=session.rules, n_images=case.n_images)
    draft = DraftReading.objects.get(case=case)
    old: Answer = empty_answer() | draft.answer
    if draft.version != version and old != new:
        raise AnswerConflict(draft)
    now = timezone.now()
    changed = DraftReading.objects.filter(pk=draft.pk, version=draft.version).update(
        version=draft.version + 1, answer=new, updated_at=now
    )
    if not changed:
        raise AnswerConflict(DraftReading.objects.get(pk=draft.pk))
    event = DraftEvent.objects.create(case=case, key=key, version=draft.version + 1, old=old, new=new)
    SessionCase.objects.filter(pk=case.pk).update(last_at=now)
    return Saved(event.version, event.at)


@transaction.atomic
def case_seen(
    *, session: ReadingSession, case: SessionCase, active_ms: int, fields: Mapping[str, Mapping[str, Any]]
) -> dict[str, int]:
    """Note what was looked at. All numbers are totals, so a report that comes twice or late does no harm.

    Parameters
    ----------
    active_ms
        Time with the case visible, in focus and not idle; cannot exceed the time since it was opened.
    fields
        Token of a field -> ``ms`` on screen and ``coverage`` (64 bits as 16 hexadecimal digits).
    """
    session = locked_session(session)
    now = timezone.now()
    case = SessionCase.objects.get(pk=case.pk)
    if case.opened_at is None:
        raise Conflict("This case was not opened.", code="E_NOT_OPENED")
    most = int((now - case.opened_at).total_seconds() * 1000)
    total = max(case.active_ms, min(active_ms, most))
    SessionCase.objects.filter(pk=case.pk).update(active_ms=total, last_at=now)
    touched = list(SessionImage.objects.filter(case=case, token__in=list(fields)))
    for image in touched:
        report = fields[image.token]
        image.seen_at = image.seen_at or now
        image.seen_ms = max(image.seen_ms, min(report["ms"], most))
        image.coverage = f"{int(image.coverage, 16) | int(report['coverage'], 16):016x}"
    SessionImage.objects.bulk_update(touched, ["seen_at", "seen_ms", "coverage"])
    return {"active_ms": total, "seen": len(touched)}
