"""A study through the database that was read: its sessions sealed, an AI imported, unblinded, analysed."""

from __future__ import annotations

from typing import Any

from cases.models import ReferenceDiagnosis
from reader_study.models import Analysis, Reading, ReadingSession, Unblinding
from reader_study.services.analyses import analysis_create, evaluator_import
from tests.reader_study.factories import CLASSES, MadeStudy

PIPELINE = {"name": "outside", "version": "1"}


def read(session: ReadingSession, made: MadeStudy, wrong: int = 1) -> None:
    """Seal a session with all but ``wrong`` answers right."""
    for position, case in enumerate(made.cases, start=1):
        truth = ReferenceDiagnosis.objects.filter(patient=case.patient).latest("id").diagnosis
        label = CLASSES[(CLASSES.index(truth) + 1) % 5] if position <= wrong else truth
        Reading.objects.create(session=session, study_case=case, position=position, diagnosis=label, n_images=2,
                               n_viewed=2, active_ms=9_000, confidence=4)  # fmt: skip
    ReadingSession.objects.filter(pk=session.pk).update(state="sealed")


def csv_of(made: MadeStudy, **changes: str) -> bytes:
    rows = [
        f"{c.code},{changes.get(c.code, ReferenceDiagnosis.objects.get(patient=c.patient).diagnosis)}"
        for c in made.cases
    ]
    return ("case,five\n" + "\n".join(rows) + "\n").encode()


def with_ai(made: MadeStudy) -> None:
    evaluator_import(actor=made.coordinator, study=made.study, source="a file", data=csv_of(made), **PIPELINE)  # type: ignore[arg-type]


def unblind(made: MadeStudy) -> None:
    Unblinding.objects.create(study=made.study, reason="all read", signed_name="C")
    made.study.state = "unblinded"
    made.study.save()
    made.study.refresh_from_db()


def analyse(made: MadeStudy, **more: Any) -> Analysis:
    return analysis_create(actor=made.coordinator, study=made.study, **more)  # type: ignore[arg-type]
