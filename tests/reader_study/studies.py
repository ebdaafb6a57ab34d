"""A small world to run studies in: patients with fields, readers, a pipeline, signatures."""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils import timezone

from cases.models import CaptureDevice, Cohort, HpfImage, Patient, ReferenceDiagnosis, Slide
from inference.models import PipelineVersion
from leukoweb.core.models import Role, User
from leukoweb.core.signing import Signature
from reader_study.models import ReadingSession, Study
from reader_study.protocol import canonical, protocol_sha256
from reader_study.services.locking import study_lock
from reader_study.services.studies import study_create
from tests.reader_study.protocols import complete, reader

MEANING = "I approve this protocol"
DIAGNOSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


def user(role: str, username: str) -> User:
    return User.objects.create_user(username=username, password="correct horse", role=role)


def sign(who: User, meaning: str = MEANING) -> Signature:
    return Signature(who, f"Dr {who.username}", meaning, "password")


def cohort(
    n: int = 6, *, name: str = "External", images: int = 3, purpose: str = "external", reviewed: bool = True,
    references: bool = True,
) -> Cohort:  # fmt: skip
    """``n`` patients with codes that tell nothing, each with one reviewed slide."""
    found = Cohort.objects.create(name=name, purpose=purpose)
    device, _ = CaptureDevice.objects.get_or_create(camera="DP73")
    for i in range(n):
        patient = Patient.objects.create(code=f"{name[:3]}-{i:03d}", cohort=found)
        state = {"review": "passed", "reviewed_at": timezone.now()} if reviewed else {}
        slide = Slide.objects.create(code=f"{patient.code}-S", patient=patient, device=device, **state)
        for position in range(1, images + 1):
            content = hashlib.sha256(f"{patient.code}/{position}".encode()).hexdigest()
            HpfImage.objects.create(
                slide=slide, position=position, content_sha256=content, received_sha256=content, format="JPEG",
                width_px=640, height_px=480, size_bytes=1000 + position,
            )  # fmt: skip
        if references:
            ReferenceDiagnosis.objects.create(patient=patient, diagnosis=DIAGNOSES[i % 5], source="Flow cytometry")
    return found


def draft(**changes: Any) -> dict[str, Any]:
    """A protocol of two readers, the first of whom reads twice, on the cohort External."""
    base = {"readers": [reader("P1", "p1", ("blinded", "blinded")), reader("P2", "p2")]}
    return complete(**(base | changes))


def world() -> User:
    """Cohort, pipeline, the readers p1 to p4; returns a coordinator."""
    cohort()
    PipelineVersion.objects.create(name="starter", version="1", rule_set={})
    for name in ("p1", "p2", "p3", "p4"):
        user(Role.PATHOLOGIST, name)
    return user(Role.COORDINATOR, "coordinator")


def make_study(coordinator: User, title: str = "A study", **changes: Any) -> Study:
    return study_create(actor=coordinator, title=title, document=draft(**changes))


def make_locked(coordinator: User, title: str = "A study", **changes: Any) -> Study:
    study = make_study(coordinator, title, **changes)
    study_lock(actor=coordinator, study=study, signature=sign(coordinator), sha256=protocol_sha256(study.draft))
    study.refresh_from_db()
    return study


def document_of(study: Study) -> dict[str, Any]:
    return canonical(study.protocols.order_by("-version").first().document)


def mark(session: ReadingSession, state: str) -> None:
    """Bring a session into a state, as the reader's side would."""
    now = timezone.now()
    fields: dict[str, Any] = {"state": state}
    if state in ("open", "sealed"):
        fields["opened_at"] = now
    if state == "sealed":
        fields["sealed_at"] = now
    ReadingSession.objects.filter(pk=session.pk).update(**fields)


def sessions(study: Study) -> list[ReadingSession]:
    return list(ReadingSession.objects.filter(reader__study=study).order_by("reader__label", "number"))
