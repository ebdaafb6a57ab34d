"""A patient is withdrawn while sessions that show them are not finished: the case no longer counts there."""

from __future__ import annotations

from django.utils import timezone

from cases.models import Patient
from leukoweb.core.audit import audit_record
from reader_study.models import ReadingSession, SessionCase, StudyCase

UNFINISHED = (ReadingSession.State.PLANNED, ReadingSession.State.OPEN)


def patient_gone(patient: Patient) -> None:
    """Mark the patient's case in every unfinished session, on record for each study. Sealed readings stay.

    Without it no reader could finish: the pixels are gone, and a field that cannot be loaded is never seen.
    """
    for case in StudyCase.objects.filter(patient_id=patient.pk).order_by("pk"):
        held = SessionCase.objects.filter(
            identity__study_case_id=case.pk, session__state__in=UNFINISHED, gone_at=None
        )  # fmt: skip
        if marked := held.update(gone_at=timezone.now()):
            audit_record(
                actor=None, action="study.case_gone", target=f"study:{case.study_id}",
                data={"case": case.code, "sessions": marked, "why": "patient withdrawn"},
            )  # fmt: skip
