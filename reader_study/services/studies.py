"""Making a study, editing its draft, and who coordinates it."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import Role, User
from reader_study.models import Study
from reader_study.protocol import canonical, default_document, diff
from reader_study.services.guard import (
    locked_study,
    require_coordinator,
    require_reason,
    require_state,
    title_taken,
)
from reader_study.services.voiding import reader_withdraw


@transaction.atomic
def study_create(
    *, actor: User | None, title: str, document: dict[str, Any] | None = None, coordinators: list[User] | None = None,
    reconstruction: bool = False,
) -> Study:  # fmt: skip
    """A draft, coordinated by ``actor`` (or by ``coordinators``, where the system makes it).

    Raises
    ------
    DomainError
        No title, or nobody to coordinate.
    Conflict
        The title is taken.
    ProtocolRefused
        The document is not built right.
    """
    title = " ".join(title.split())
    if not title or len(title) > 160:
        raise DomainError("A study needs a title of at most 160 characters.", field="title")
    draft = canonical((document or default_document()) | {"title": title})
    people = coordinators if coordinators is not None else [actor] if actor else []
    if not people or any(person.role != Role.COORDINATOR for person in people):
        raise DomainError("A study needs a coordinator.", field="coordinators")
    study = _titled(Study(draft=draft, created_by=actor, reconstruction=reconstruction), title)
    study.coordinators.set(people)
    audit_record(actor=actor, action="study.create", target=f"study:{study.pk}", data={"title": title})
    return study


def _titled(study: Study, title: str) -> Study:
    study.title = title
    try:
        with transaction.atomic():
            study.save()
    except IntegrityError as error:
        raise title_taken(title) from error
    return study


@transaction.atomic
def draft_save(*, actor: User, study: Study, document: Any, version: int) -> Study:
    """Store the designer's document if nobody else has saved since ``version`` (compare-and-swap).

    Saving the same document again changes nothing and is not refused.

    Raises
    ------
    Conflict
        Locked already, or saved by somebody else in the meantime (E_STALE).
    ProtocolRefused
        The document is not built right; an incomplete one is fine.
    """
    require_coordinator(actor, study)
    draft = canonical(document)
    study = locked_study(study)
    require_state(study, [Study.State.DRAFT], "its protocol can only be amended")
    changes = diff(study.draft, draft)
    if not changes:
        return study
    if study.draft_version != version:
        raise Conflict(
            f"Somebody saved this protocol in the meantime (version {study.draft_version}, yours is {version}).",
            code="E_STALE", hint="Reload the page, then make your changes again. Yours were not saved.",
        )  # fmt: skip
    study.draft, study.draft_version = draft, version + 1
    study = _titled(study, draft["title"] or study.title)
    audit_record(
        actor=actor, action="study.draft", target=f"study:{study.pk}",
        data={"version": study.draft_version, "changes": [change.path for change in changes][:50]},
    )  # fmt: skip
    return study


@transaction.atomic
def draft_delete(*, actor: User, study: Study, version: int) -> None:
    """Delete a study that was never locked. What the record keeps of it is its title and who deleted it.

    Raises
    ------
    Conflict
        It was locked, or somebody saved it since ``version`` (E_STALE).
    """
    require_coordinator(actor, study)
    study = locked_study(study)
    if study.state != Study.State.DRAFT or study.protocols.exists():
        raise Conflict(
            "A study that was locked is never deleted.", code="E_STATE",
            hint="Freeze it with a reason to stop early; it then stays on record.",
        )  # fmt: skip
    if study.draft_version != version:
        raise Conflict(
            f"Somebody saved this draft meanwhile (version {study.draft_version}).", code="E_STALE",
            hint="Look at it again, then delete it if you still want to.",
        )  # fmt: skip
    audit_record(
        actor=actor, action="study.delete", target=f"study:{study.pk}",
        data={"title": study.title, "version": study.draft_version},
    )  # fmt: skip
    study.delete()


@transaction.atomic
def coordinator_add(*, actor: User, study: Study, user: User) -> Study:
    """Let another coordinator run the study. Whoever reads in it stops reading: the open session becomes void."""
    require_coordinator(actor, study)
    return _coordinate(actor, locked_study(study), user, "")


def _coordinate(actor: User | None, study: Study, user: User, reason: str) -> Study:
    if user.role != Role.COORDINATOR or not user.is_active:
        raise DomainError(f"{user} is no active study coordinator.", field="user", hint="An admin changes the role.")
    for reader in study.readers.filter(user=user, withdrawn_at=None):
        reader_withdraw(actor=actor, reader=reader, reason="became a coordinator of the study")
    study.coordinators.add(user)
    audit_record(
        actor=actor, action="study.coordinator_add", target=f"study:{study.pk}", reason=reason, data={"user": user.pk}
    )
    return study


@transaction.atomic
def coordinator_appoint(*, study: Study, user: User, reason: str) -> Study:
    """Whoever keeps the server gives a study that nobody runs any more a coordinator. On record, without an actor.

    Raises
    ------
    Conflict
        An active coordinator runs it, who can add others.
    DomainError
        No active study coordinator, or no reason.
    """
    study, reason = locked_study(study), require_reason(reason)
    if running := study.coordinators.filter(is_active=True, role=Role.COORDINATOR).first():
        raise Conflict(f"{running} coordinates “{study.title}” and can add others.")
    return _coordinate(None, study, user, reason)


@transaction.atomic
def coordinator_remove(*, actor: User, study: Study, user: User) -> Study:
    """Take a coordinator off the study; one always remains."""
    require_coordinator(actor, study)
    study = locked_study(study)
    if not study.coordinators.exclude(pk=user.pk).filter(is_active=True, role=Role.COORDINATOR).exists():
        raise Conflict("At least one active coordinator must remain.")
    study.coordinators.remove(user)
    audit_record(actor=actor, action="study.coordinator_remove", target=f"study:{study.pk}", data={"user": user.pk})
    return study
