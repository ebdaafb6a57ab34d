"""A study of tiny drawn patients, locked and with its sessions written down. Quick: one small PNG a field."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw

from cases.models import Cohort, Patient, ReferenceDiagnosis, Slide
from cases.services.images import image_add
from leukoweb.core.models import User
from reader_study.models import ProtocolVersion, ReadingSession, Study, StudyCase, StudyReader
from reader_study.ordering import session_seed
from reader_study.protocol import locked_sha256
from reader_study.services.orders import session_materialise

CLASSES = ["ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"]
PASSWORD = "correct horse"


def document(**changes: Any) -> dict[str, Any]:
    """A complete protocol document; ``changes`` replace whole keys."""
    return {
        "schema": "leukoweb/protocol/1",
        "title": "Smears of the test",
        "question": "How well do readers agree?",
        "classes": {"map": "five", "names": list(CLASSES), "reference_map": {}},
        "cases": {"cohort": "Study cohort", "patients": "all", "training": []},
        "images_per_case": {"rule": "all", "k": None, "seed": 11},
        "arms": ["blinded"],
        "readers": [],
        "primary_session": 1,
        "washout_days": 42,
        "order_seed": 7,
        "answers": {
            "confidence": True, "cannot_decide": True, "key_images": True, "comment": True,
            "reasons": ["Too few cells", "Poor image quality", "Not typical of any class", "Other"],
        },
        "navigation": "free",
        "viewer": {"zoom": "kept", "brightness_contrast": True},
        "require_all_viewed": True,
        "idle_minutes": 20,
        "ai": {"primary": None, "comparators": []},
        "endpoints": [],
        "non_inferiority_margin": None,
        "analysis": {"level": 0.95, "resamples": 200, "seed": 1, "missing": "exclude"},
        "planning": {"sensitivity": 0.9, "specificity": 0.95, "kappa": 0.8, "seconds_per_image": 4.0,
                     "seconds_per_case": 30.0, "expected_per_class": [], "justification": ""},
        "closes_on": None,
        "consent": "I read on my own and talk to nobody about the cases.",
        "instructions": "Look at every field, then decide.",
        **changes,
    }  # fmt: skip


def tiny_png(number: int, size: tuple[int, int] = (96, 72)) -> bytes:
    """A picture that differs from every other number's."""
    image = Image.new("RGB", size, (226, 218, 222))
    draw = ImageDraw.Draw(image)
    for bit in range(16):
        if number >> bit & 1:
            x, y = 6 + 22 * (bit % 4), 6 + 16 * (bit // 4)
            draw.ellipse([x, y, x + 12, y + 12], fill=(92, 60, 140))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class MadeStudy:
    study: Study
    protocol: ProtocolVersion
    cases: list[StudyCase]
    readers: list[StudyReader]
    sessions: list[ReadingSession] = field(default_factory=list)
    coordinator: User | None = None

    def session(self, reader: int = 0, number: int = 1) -> ReadingSession:
        return ReadingSession.objects.get(reader=self.readers[reader], number=number)


def make_patients(cohort: Cohort, count: int, fields: int, *, start: int = 0) -> list[Patient]:
    """Patients with a reference each and ``fields`` pictures in one slide."""
    made = []
    for n in range(start, start + count):
        patient = Patient.objects.create(code=f"{cohort.pk}-PAT-{n:03d}", cohort=cohort)
        slide = Slide.objects.create(code=f"{cohort.pk}-SLIDE-{n:03d}", patient=patient, pixel_size_um=0.1)
        for position in range(fields):
            data = tiny_png(1 + n * fields + position)
            image_add(actor=None, slide=slide, data=data, name=f"{CLASSES[n % 5]}_{n}_{position}.png")
        ReferenceDiagnosis.objects.create(patient=patient, diagnosis=CLASSES[n % 5], source="made for a test")
        made.append(patient)
    return made


def manifest_of(patient: Patient) -> list[dict[str, str]]:
    return [
        {"image": str(image.public_id), "content_sha256": image.content_sha256}
        for slide in patient.slides.order_by("code")
        for image in slide.images.order_by("position", "id")
    ]


def make_study(
    *,
    users: Sequence[User],
    coordinator: User | None = None,
    n_cases: int = 4,
    n_fields: int = 2,
    n_training: int = 0,
    sessions: Sequence[str] = ("blinded",),
    title: str = "Smears of the test",
    materialise: bool = True,
    **changes: Any,
) -> MadeStudy:
    """A locked study: ``sessions`` lists the arm of session 1, 2, ... of every reader."""
    cohort = Cohort.objects.create(name=f"Cohort of {title}", purpose="external", synthetic=True)
    patients = make_patients(cohort, n_cases + n_training, n_fields)
    text = document(title=title, **changes)
    study = Study.objects.create(title=title, cohort=cohort, state="locked", draft=text, created_by=coordinator)
    if coordinator is not None:
        study.coordinators.add(coordinator)
    protocol = ProtocolVersion.objects.create(
        study=study, version=1, document=text, sha256=locked_sha256(text), signed_by=coordinator,
        signed_name="C", meaning="lock",
    )  # fmt: skip
    cases = [
        StudyCase.objects.create(
            study=study, patient=patient, code=f"{index * 7919 % 10007:05d}", training=index >= n_cases,
            manifest=manifest_of(patient), manifest_sha256="0" * 64,
        )
        for index, patient in enumerate(patients)
    ]  # fmt: skip
    made = MadeStudy(study, protocol, cases, [], coordinator=coordinator)
    for index, user in enumerate(users, start=1):
        reader = StudyReader.objects.create(study=study, user=user, label=f"P{index}")
        made.readers.append(reader)
        for number, arm in enumerate(sessions, start=1):
            seed = session_seed(text["order_seed"], reader.label, number)
            session = ReadingSession.objects.create(reader=reader, number=number, arm=arm, seed=seed)
            made.sessions.append(session_materialise(session=session, protocol=protocol) if materialise else session)
    return made
