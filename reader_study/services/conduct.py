"""Running a study: extend, replace a reader, freeze, unblind."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.signing import Signature
from leukoweb.core.words import counted
from reader_study.models import ProtocolVersion, ReadingSession, Study, StudyReader, Unblinding
from reader_study.selectors.studies import protocol_current
from reader_study.services.guard import (
    READING_STATES,
    locked_study,
    require_coordinator,
    require_reason,
    require_signature,
    require_state,
)
from reader_study.services.locking import protocol_amend
from reader_study.services.voiding import reader_withdraw, session_void

_STATE = ReadingSession.State


def _document(study: Study) -> dict[str, Any]:
    protocol = protocol_current(study)
    if protocol is None:
        raise Conflict("The protocol is not locked yet, so edit the draft instead.", code="E_STATE")
    return copy.deepcopy(protocol.document)


@transaction.atomic
def study_extend(*, actor: User, study: Study, closes_on: date | None, reason: str, signature: Signature) -> Study:
    """Move the last day of reading (None: no last day). An amendment like any other.

    Raises
    ------
    DomainError
        The day is over already.
    """
    if closes_on is not None and closes_on < timezone.localdate():
        raise DomainError(f"{closes_on:%Y-%m-%d} is over already.", field="closes_on", code="E_DATE")
    document = _document(study) | {"closes_on": closes_on.isoformat() if closes_on else None}
    protocol_amend(actor=actor, study=study, document=document, reason=reason, signature=signature)
    return Study.objects.get(pk=study.pk)


@transaction.atomic
def reader_replace(
    *, actor: User, reader: StudyReader, replacement: dict[str, Any], reason: str, signature: Signature
) -> ProtocolVersion:
    """Somebody else reads in a reader's place: new sessions, orders and tokens; the unfinished ones become void.

    ``replacement`` has label, username and profile; the sessions are the replaced reader's.

    Raises
    ------
    Conflict
        The reader left already.
    ProtocolRefused
        The new reader cannot read these patients.
    """
    study = reader.study
    require_coordinator(actor, study)
    reason = require_reason(reason)
    study = locked_study(study)
    require_state(study, READING_STATES, "nobody can be replaced")
    if StudyReader.objects.filter(pk=reader.pk).exclude(withdrawn_at=None).exists():
        raise Conflict(f"{reader.label} has left the study already.")
    document = _document(study)
    sessions = next(r["sessions"] for r in document["readers"] if r["label"] == reader.label)
    document["readers"].append(replacement | {"sessions": sessions})
    protocol = protocol_amend(
        actor=actor, study=study, document=document, reason=reason, signature=signature, replaces=reader
    )
    reader_withdraw(actor=actor, reader=reader, reason=reason)
    return protocol


@transaction.atomic
def study_freeze(*, actor: User, study: Study, signature: Signature, stop_reason: str = "") -> Study:
    """No answer comes in any more. With ``stop_reason`` the study is stopped early: unfinished sessions become void.

    Raises
    ------
    Conflict
        Sessions are unfinished and no reason to stop was given, or nothing was read.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    study = locked_study(study)
    require_state(study, READING_STATES, "the data cannot be frozen")
    sessions = ReadingSession.objects.filter(reader__study=study)
    unfinished = list(
        sessions.filter(state__in=[_STATE.PLANNED, _STATE.OPEN]).select_related("reader").order_by("pk")
    )  # fmt: skip
    if unfinished and not stop_reason.strip():
        raise Conflict(
            f"{counted(len(unfinished), 'session')} not finished, the first is session {unfinished[0].number} of "
            f"{unfinished[0].reader.label}.", code="E_UNFINISHED",
            hint="Wait for them, or give a reason to stop the study early.",
        )  # fmt: skip
    reason = require_reason(stop_reason) if unfinished else ""
    for session in unfinished:
        session_void(actor=actor, session=session, reason=f"study stopped early: {reason}")
    sealed = sessions.filter(state=_STATE.SEALED).count()
    if not sealed and not reason:
        raise Conflict("Nobody has read anything, so there are no data to freeze.", code="E_NOTHING")
    study.state = Study.State.STOPPED if reason else Study.State.FROZEN
    study.save(update_fields=["state"])
    audit_record(
        actor=actor, action="study.stop" if reason else "study.freeze", target=f"study:{study.pk}", reason=reason,
        data={"sealed": sealed, "voided": len(unfinished), "signature": signature.as_dict()},
    )  # fmt: skip
    return study


@transaction.atomic
def study_unblind(*, actor: User, study: Study, reason: str, signature: Signature) -> Unblinding:
    """Answers may now be seen beside the reference. Once, for a reason, after the freeze.

    Raises
    ------
    Conflict
        Not frozen yet, or unblinded already.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    reason = require_reason(reason)
    study = locked_study(study)
    require_state(study, [Study.State.FROZEN, Study.State.STOPPED], "it cannot be unblinded (freeze the data first)")
    if ReadingSession.objects.filter(reader__study=study, state__in=[_STATE.PLANNED, _STATE.OPEN]).exists():
        raise Conflict("A session is still open.", code="E_UNFINISHED")  # pragma: no cover  the freeze ended them
    event = Unblinding.objects.create(study=study, reason=reason, signed_by=actor, signed_name=signature.name)
    study.state = Study.State.UNBLINDED
    study.save(update_fields=["state"])
    audit_record(
        actor=actor, action="study.unblind", target=f"study:{study.pk}", reason=reason,
        data={"signature": signature.as_dict()},
    )  # fmt: skip
    return event
