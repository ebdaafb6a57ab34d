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


def _document(study: Study) -> tuple[int, dict[str, Any]]:
    """The newest version's number, and a copy of its document to change."""
    protocol = protocol_current(study)
    if protocol is None:
        raise Conflict("The protocol is not locked yet, so edit the draft instead.", code="E_STATE")
    return protocol.version, copy.deepcopy(protocol.document)


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
    base, document = _document(locked_study(study))
    document["closes_on"] = closes_on.isoformat() if closes_on else None
    protocol_amend(actor=actor, study=study, base=base, document=document, reason=reason, signature=signature)
    return Study.objects.get(pk=study.pk)


@transaction.atomic
def reader_replace(
    *, actor: User, reader: StudyReader, replacement: dict[str, Any], reason: str, signature: Signature
) -> ProtocolVersion:
    """Somebody else reads in a reader's place: new sessions, orders and tokens; the unfinished ones become void.

    ``replacement`` has label, username and profile; the sessions are the replaced reader's. Who left on their own (by
    another role, or as a coordinator) can be replaced as well.

    Raises
    ------
    Conflict
        Somebody reads in the reader's place already.
    ProtocolRefused
        The new reader cannot read these patients.
    """
    study = reader.study
    require_coordinator(actor, study)
    reason = require_reason(reason)
    study = locked_study(study)
    require_state(study, READING_STATES, "nobody can be replaced")
    if in_place := StudyReader.objects.filter(replaces=reader).first():
        raise Conflict(
            f"{in_place.label} reads in the place of {reader.label} already.", hint=f"Replace {in_place.label}."
        )
    base, document = _document(study)
    sessions = list(reader.sessions.order_by("number").values_list("arm", flat=True))
    document["readers"].append(replacement | {"sessions": sessions})
    protocol = protocol_amend(
        actor=actor, study=study, base=base, document=document, reason=reason, signature=signature, replaces=reader
    )
    if StudyReader.objects.filter(pk=reader.pk, withdrawn_at=None).exists():
        reader_withdraw(actor=actor, reader=reader, reason=reason)
    return protocol


@transaction.atomic
def study_freeze(*, actor: User, study: Study, signature: Signature, stop_reason: str = "") -> Study:
    """No answer comes in any more. With ``stop_reason`` the study is stopped early: unfinished sessions become void.

    A study that everybody has left unread is stopped as well. Where everything is sealed the reason is not needed, and
    the study is frozen.

    Raises
    ------
    Conflict
        Sessions are unfinished, or nothing was read, and no reason to stop was given.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    study = locked_study(study)
    require_state(study, READING_STATES, "the data cannot be frozen")
    sessions = ReadingSession.objects.filter(reader__study=study)
    # Whoever signs or begins at this moment is through before, or is told afterwards; never half of each.
    held = sessions.select_for_update(of=("self",)).select_related("reader").order_by("pk")
    unfinished = [session for session in held if session.state in (_STATE.PLANNED, _STATE.OPEN)]
    sealed = sessions.filter(state=_STATE.SEALED).count()
    if unfinished and not stop_reason.strip():
        raise Conflict(
            f"{counted(len(unfinished), 'session')} not finished, the first is session {unfinished[0].number} of "
            f"{unfinished[0].reader.label}.", code="E_UNFINISHED",
            hint="Wait for them, or give a reason to stop the study early.",
        )  # fmt: skip
    if not unfinished and not sealed and not stop_reason.strip():
        raise Conflict(
            "Nobody has read anything, so there are no data to freeze.", code="E_NOTHING",
            hint="Replace a reader who left, or give a reason to stop the study.",
        )  # fmt: skip
    reason = require_reason(stop_reason) if unfinished or not sealed else ""
    for session in unfinished:
        session_void(actor=actor, session=session, reason=f"study stopped early: {reason}")
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
