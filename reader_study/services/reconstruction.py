"""A published study of 64 patients, rebuilt from its printed tables, as a finished and unblinded study.

doi:10.21037/jmai-24-74; the answers are a reconstruction (reader_study/data/README.md). No image belongs to it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from cases.models import Cohort, Patient, ReferenceDiagnosis
from leukoweb.core.audit import audit_record
from leukoweb.core.models import User
from leukoweb.statistics.ratings import read_csv
from reader_study.models import (
    ImportedEvaluator,
    ImportedPrediction,
    ProtocolVersion,
    Reading,
    ReadingSession,
    SessionSeal,
    Study,
    StudyCase,
    StudyReader,
    Unblinding,
)
from reader_study.protocol import canonical, default_document, protocol_sha256
from reader_study.selectors.cases import manifest_sha256

TITLE = "Reconstruction of a published study, 64 patients"
COHORT = "Reconstruction (no images)"
FILE = Path(__file__).resolve().parents[1] / "data" / "reconstruction_64.csv"
SIGNED = "leukoweb (reconstruction)"
WHY = "Rebuilt from published tables; not original data"
PIPELINE = {"name": "Published hierarchical pipeline", "version": "as printed"}
SESSIONS = {"P1": ("P1-1", "P1-2"), "P2": ("P2",), "P3": ("P3",)}


def protocol_document() -> dict[str, Any]:
    """What the publication says about its design. It named no margin; the one here is for demonstration."""
    readers = [
        {"label": label, "username": "", "years": None, "specialty": "Pathology", "training": "",
         "sessions": ["blinded"] * len(columns)}
        for label, columns in SESSIONS.items()
    ]  # fmt: skip
    endpoints = [
        {"metric": metric, "role": "primary" if index == 0 else "secondary", "comparison": comparison}
        for index, (metric, comparison) in enumerate(
            (
                ("macro_f1", "ai_vs_reader_mean"), ("accuracy", "ai_vs_reader_mean"), ("accuracy", "ai_vs_each_reader"),
                ("inter_observer_kappa", "none"), ("ai_reader_kappa", "none"),
                ("ai_reader_kappa", "ai_vs_reader_mean"), ("intra_observer_kappa", "none"),
            )
        )
    ]  # fmt: skip
    return canonical(
        default_document()
        | {
            "title": TITLE,
            "question": "Does the published pipeline diagnose leukemia from smears as well as three pathologists? The "
            "publication named no endpoints and no margin; those here were chosen to show what it left out.",
            "cases": {"cohort": COHORT, "patients": "all", "training": []},
            "readers": readers, "ai": {"primary": PIPELINE, "comparators": []}, "endpoints": endpoints,
            "non_inferiority_margin": 0.05,
        }
    )  # fmt: skip


@transaction.atomic
def reconstruction_load(*, actor: User | None = None, coordinators: list[User] | None = None) -> Study:
    """Make the study, or return it when it is there; the given coordinators are added to it."""
    study = Study.objects.filter(title=TITLE, reconstruction=True).first() or _make(actor)
    study.coordinators.add(*(coordinators or []))
    return study


def _make(actor: User | None) -> Study:
    data = FILE.read_bytes()
    table = read_csv(data.decode())
    cohort = Cohort.objects.create(name=COHORT, purpose=Cohort.Purpose.EXTERNAL, description=WHY, created_by=actor)
    document = protocol_document()
    study = Study.objects.create(
        title=TITLE, cohort=cohort, state=Study.State.UNBLINDED, draft=document, reconstruction=True, created_by=actor
    )
    ProtocolVersion.objects.create(
        study=study, version=1, document=document, sha256=protocol_sha256(document), signed_by=None,
        signed_name=SIGNED, meaning=WHY,
    )  # fmt: skip
    cases = _cases(study, cohort, table)
    for label, columns in SESSIONS.items():
        reader = StudyReader.objects.create(study=study, label=label, specialty="Pathology")
        for number, column in enumerate(columns, start=1):
            _session(reader, number, cases, table[column])
    _ai(study, cases, table, data)
    Unblinding.objects.create(study=study, reason=WHY, signed_by=None, signed_name=SIGNED)
    audit_record(
        actor=actor, action="study.reconstruct", target=f"study:{study.pk}", reason=WHY,
        data={"cases": len(cases), "file_sha256": hashlib.sha256(data).hexdigest()},
    )  # fmt: skip
    return study


def _cases(study: Study, cohort: Cohort, table: dict[str, list[str]]) -> list[StudyCase]:
    patients = Patient.objects.bulk_create(
        [Patient(code=f"RECON-{code}", cohort=cohort, note=WHY) for code in table["case"]]
    )
    ReferenceDiagnosis.objects.bulk_create(
        [
            ReferenceDiagnosis(patient=patient, diagnosis=diagnosis, source=WHY)
            for patient, diagnosis in zip(patients, table["reference"], strict=True)
        ]
    )
    return StudyCase.objects.bulk_create(
        [
            StudyCase(study=study, patient=patient, code=code, manifest=[], manifest_sha256=manifest_sha256([]))
            for patient, code in zip(patients, table["case"], strict=True)
        ]
    )


def _session(reader: StudyReader, number: int, cases: list[StudyCase], answers: list[str]) -> None:
    session = ReadingSession.objects.create(
        reader=reader, number=number, state=ReadingSession.State.SEALED, seed=0, sealed_at=timezone.now(), imported=True
    )
    Reading.objects.bulk_create(
        [
            Reading(session=session, study_case=case, position=position, diagnosis=answer, n_images=0, n_viewed=0,
                    imported=True)
            for position, (case, answer) in enumerate(zip(cases, answers, strict=True), start=1)
        ]
    )  # fmt: skip
    digest = hashlib.sha256(",".join(answers).encode()).hexdigest()
    SessionSeal.objects.create(
        session=session, signed_by=None, signed_name=SIGNED, meaning=WHY, n_readings=len(cases), readings_sha256=digest
    )


def _ai(study: Study, cases: list[StudyCase], table: dict[str, list[str]], data: bytes) -> None:
    evaluator = ImportedEvaluator.objects.create(
        study=study, **PIPELINE, source=WHY, file_sha256=hashlib.sha256(data).hexdigest()
    )
    ImportedPrediction.objects.bulk_create(
        [
            ImportedPrediction(evaluator=evaluator, study_case=case, level=level, diagnosis=answer)
            for level, column in (("five", "AI"), ("three", "AI_three"))
            for case, answer in zip(cases, table[column], strict=True)
        ]
    )
