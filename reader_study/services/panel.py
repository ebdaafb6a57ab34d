"""Re-reading by a panel after the unblinding. A row of its own for each case; the readers' answers stay as they are."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from cases.models import Exposure
from cases.services.exposures import exposures_record
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from reader_study.models import Reading, ReadingSession, Study, StudyCase, StudyReader
from reader_study.selectors.studies import PANEL, protocol_current
from reader_study.selectors.walkthrough import Walk, require_unblinded
from reader_study.services.guard import locked_study, require_coordinator


@transaction.atomic
def panel_read(
    *, actor: User, study: Study, case: StudyCase, members: str, diagnosis: str = "", reason: str = "",
    comment: str = "",
) -> Reading:  # fmt: skip
    """Store what a panel agreed on, knowing everything. Never part of the main analysis (``reread``).

    Raises
    ------
    Conflict
        Still blind, or the panel has read this case already: its word is not taken back either.
    DomainError
        No members, an unknown class, or neither a class nor a reason.
    """
    require_coordinator(actor, study)
    study = locked_study(study)
    require_unblinded(study)
    protocol = protocol_current(study)
    classes = protocol.document["classes"]["names"] if protocol else []
    members = members.strip()
    if not members:
        raise DomainError("Say who was on the panel.", field="members")
    if diagnosis and diagnosis not in classes:
        raise DomainError(f"{diagnosis!r} is not one of {', '.join(classes)}.", field="diagnosis")
    if not diagnosis and not reason.strip():
        raise DomainError("Choose a class, or say why the panel could not agree.", field="diagnosis")
    if case.study_id != study.pk or case.training:
        raise DomainError("This case is not one of the study's.", field="case")
    session = _session(study)
    if Reading.objects.filter(session=session, study_case=case).exists():
        raise Conflict(f"The panel has read case {case.code} already.", hint="What was read stays as it is.")
    reading = Reading.objects.create(
        session=session, study_case=case, position=session.readings.count() + 1, diagnosis=diagnosis,
        cannot_decide=not diagnosis, reason="" if diagnosis else reason.strip()[:300],
        comment=f"Panel: {members}\n{comment.strip()}".strip(), n_images=len(case.manifest), n_viewed=0,
        answered_at=timezone.now(), reread=True,
    )  # fmt: skip
    audit_record(
        actor=actor, action="study.panel_read", target=f"study:{study.pk}",
        data={"case": case.code, "diagnosis": diagnosis, "reason": reason, "members": members},
    )  # fmt: skip
    return reading


def _session(study: Study) -> ReadingSession:
    """The panel's own session, made with its first case; it is no reader's and no evaluator of the analysis."""
    reader, _ = StudyReader.objects.get_or_create(
        study=study, label=PANEL, defaults={"specialty": "Panel after the unblinding", "withdrawn_at": timezone.now()}
    )
    session, _ = ReadingSession.objects.get_or_create(
        reader=reader, number=1,
        defaults={"seed": 0, "state": ReadingSession.State.SEALED, "imported": True, "sealed_at": timezone.now()},
    )  # fmt: skip
    return session


def walks_seen(*, actor: User, walks: list[Walk]) -> None:
    """Whoever is shown references and results of these patients may not read them in another study."""
    by_ai = [walk for walk in walks if any(vote.kind == "ai" for vote in walk.votes)]
    exposures_record(actor, [walk.case.patient_id for walk in walks], Exposure.Kind.REFERENCE)
    exposures_record(actor, [walk.case.patient_id for walk in by_ai], Exposure.Kind.RESULT)
