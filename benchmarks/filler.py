"""A seeded installation of any size, filled in bulk: what the benchmarks of pages and of load look at.

    DATA_DIR=/tmp/bench python -m benchmarks.filler --patients 10000

Rows only: image rows name contents of which no file exists (pages never open one). Everything that a service can make
in bulk is made by the service (the study with its orders, the taxonomy, the pipeline); images, measures, runs,
results, queues and audit events go in by executemany (SQLite) or COPY (PostgreSQL), with the numbers a real
installation would have: one slide of 50 fields per patient, one run per slide, cascade mode for all but the first 64.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

from benchmarks.bulk import load, reset_sequences
from benchmarks.filler_work import SORTERS, STUDY_CASES, Size, Work

READERS = 4


def uuids(rng: random.Random) -> Iterator[uuid.UUID]:
    while True:
        yield uuid.UUID(int=rng.getrandbits(128), version=4)


class Filler(Work):
    def __init__(self, size: Size, seed: int = 10) -> None:
        from django.utils import timezone

        self.size, self.rng, self.now = size, random.Random(seed), timezone.now()
        self.ids = uuids(self.rng)
        self.places: dict[str, Any] = {}

    def fill(self) -> dict[str, Any]:
        from django.db import transaction

        for step in (
            self.people,
            self.patients,
            self.images,
            self.quality,
            self.pipeline,
            self.results,
            self.sorting,
            self.dataset,
            self.study,
            self.audit,
        ):
            start = time.perf_counter()
            with transaction.atomic():
                step()
            print(f"  {step.__name__}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        return self.places

    def people(self) -> None:
        from leukoweb.core.models import User

        names = {
            "technician": "technician",
            "coordinator": "coordinator",
            "admin": "admin",
            "pathologist": "pathologist",
        }
        names |= {f"reader{i}": "pathologist" for i in range(1, READERS + 1)}
        names |= {f"sorter{i}": "pathologist" for i in range(1, SORTERS + 1)}
        self.users = {name: User.objects.create(username=name, password="!", role=role) for name, role in names.items()}

    def patients(self) -> None:
        from cases.models import CaptureDevice, Cohort, Patient, ReferenceDiagnosis, Slide
        from cases.models.patients import Diagnosis

        self.cohort = Cohort.objects.create(name="Benchmark", purpose="external", synthetic=True)
        devices = [CaptureDevice.objects.create(camera=f"Camera {i}", microscope="BX") for i in range(3)]
        n = range(1, self.size.patients + 1)
        load(
            Patient,
            {"cohort_id": self.cohort.pk, "created_at": self.now},
            ("id", "code"),
            ((i, f"P{i:06d}") for i in n),
        )
        fixed = {
            "created_at": self.now,
            "review": "passed",
            "reviewed_at": self.now,
            "magnification": 1000,
            "stain": "Wright",
        }
        load(
            Slide,
            fixed,
            ("id", "code", "patient_id", "device_id"),
            ((i, f"P{i:06d}-S1", i, devices[i % 3].pk) for i in n),
        )
        names = Diagnosis.values
        load(
            ReferenceDiagnosis,
            {"source": "drawn", "entered_at": self.now},
            ("id", "patient_id", "diagnosis"),
            ((i, i, names[i % len(names)]) for i in n),
        )
        reset_sequences((Patient, Slide, ReferenceDiagnosis))
        self.places |= {"cohort": self.cohort.pk, "slide": self.size.patients // 2, "patient": self.size.patients // 2}

    def images(self) -> None:
        from cases.models import HpfImage, ImageOriginalName

        self.contents = [f"{self.rng.getrandbits(256):064x}" for _ in range(self.size.images)]
        self.public = list(itertools.islice(self.ids, self.size.images))
        fixed = {
            "format": "JPEG",
            "width_px": 1600,
            "height_px": 1200,
            "size_bytes": 472_000,
            "uploaded_at": self.now,
            "notes": [],
        }
        per = self.size.fields
        load(
            HpfImage,
            fixed,
            ("id", "public_id", "slide_id", "position", "content_sha256", "received_sha256", "phash"),
            (
                (i + 1, self.public[i], i // per + 1, i % per + 1, c, c[::-1], f"{self.rng.getrandbits(64):016x}")
                for i, c in enumerate(self.contents)
            ),
        )
        load(
            ImageOriginalName,
            {},
            ("id", "image_id", "name"),
            ((i, i, f"IMG_{i:07d}.jpg") for i in range(1, self.size.images + 1)),
        )
        reset_sequences((HpfImage, ImageOriginalName))
        self.places["image"] = str(self.public[(self.places["slide"] - 1) * per])

    def quality(self) -> None:
        from cases.models import Exclusion, ImageQuality
        from cases.quality import MEASURE_VERSION

        colour = json.dumps({"mean": [210.0, 180.0, 205.0], "sd": [30.0, 42.0, 25.0]})
        rng, u = self.rng, self.rng.random
        fixed = {"measure_version": MEASURE_VERSION, "measured_at": self.now}
        columns = (
            "id",
            "content_sha256",
            "sharpness",
            "exposure",
            "clipped",
            "stain",
            "illumination",
            "nucleated",
            "colour",
            "signature",
        )
        load(
            ImageQuality,
            fixed,
            columns,
            (
                (i, c, 100 * u(), 0.5 + u() / 3, u() / 50, u() / 2, u() / 10, u() / 4, colour, rng.randbytes(32))
                for i, c in enumerate(self.contents, start=1)
            ),
        )
        load(
            Exclusion,
            {"excluded": True, "reason": "blur", "decided_by_id": self.users["admin"].pk, "decided_at": self.now},
            ("id", "image_id"),
            ((i, i * 200 + 7) for i in range(1, self.size.images // 200)),
        )
        reset_sequences((ImageQuality, Exclusion))

    def pipeline(self) -> None:
        from inference.models import PipelineVersion
        from inference.services.registry import starter_ensure

        starter_ensure()
        self.pipe = PipelineVersion.objects.get(is_active=True)

    def study(self) -> None:
        """64 patients, four readers, the first of them twice: locked by the service, half read by the first reader."""
        self.places["study"], self.places["session"], self.places["case"] = self._study(
            "Study of 64", STUDY_CASES, "reader", READERS
        )
        if self.size.patients >= 2 * 1000:
            names = [f"late{i}" for i in range(1, 4)]
            from leukoweb.core.models import User

            for name in names:
                User.objects.create(username=name, password="!", role="pathologist")
            self.places["big_study"], self.places["big_session"], self.places["big_case"] = self._study(
                "Study of 1000", 1000, "late", 3
            )

    def _study(self, title: str, n: int, reader: str, readers: int) -> tuple[str, str, str]:
        from reader_study.models import DraftReading, ReadingSession, SessionCase, SessionImage
        from reader_study.protocol import default_document
        from reader_study.services.locking import study_lock_by_system
        from reader_study.services.studies import study_create

        document = default_document() | {
            "readers": [
                {"label": f"P{i}", "username": f"{reader}{i}", "sessions": ["blinded"] * (2 if i == 1 else 1)}
                for i in range(1, readers + 1)
            ],
            "consent": "Drawn patients.",
            "instructions": "Look at all fields.",
            "question": "How fast?",
            "ai": {"primary": {"name": self.pipe.name, "version": self.pipe.version}, "comparators": []},
        }
        document["cases"] = {
            "cohort": self.cohort.name,
            "patients": [f"P{i:06d}" for i in range(1, n + 1)],
            "training": [],
        }
        study = study_create(actor=None, title=title, document=document, coordinators=[self.users["coordinator"]])
        study_lock_by_system(study)
        type(study).objects.filter(pk=study.pk).update(state="reading")
        session = ReadingSession.objects.get(reader__study=study, reader__label="P1", number=1)
        ReadingSession.objects.filter(pk=session.pk).update(state="open", opened_at=self.now)
        first = SessionCase.objects.filter(session=session, position__lte=n // 2)
        classes = session.rules["classes"]
        answer = {"diagnosis": classes[0], "confidence": 4}
        DraftReading.objects.filter(case__in=first).update(answer=answer, version=1)
        first.update(opened_at=self.now, last_at=self.now, active_ms=60_000)
        SessionImage.objects.filter(case__in=first).update(seen_at=self.now, seen_ms=900)
        case = SessionCase.objects.get(session=session, position=n // 2 + 1)
        ReadingSession.objects.filter(pk=session.pk).update(current=case.position)
        return str(study.public_id), session.token, case.token

    def audit(self) -> None:
        """Two events per patient, chained as the service chains them."""
        from leukoweb.core.audit import event_hash
        from leukoweb.core.models import AuditEvent

        last = AuditEvent.objects.order_by("-id").values_list("hash", flat=True)[0]
        events = []
        for i in range(2 * self.size.patients):
            event = AuditEvent(
                at=self.now, actor_name="system", action="image.add", target=f"image:{i}", data={}, previous_hash=last
            )
            event.hash = last = event_hash(event)
            events.append(event)
        AuditEvent.objects.bulk_create(events, batch_size=500)


def fill(size: Size, seed: int = 10) -> dict[str, Any]:
    """Migrate and fill the empty database of the settings; returns where things are."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    places = Filler(size, seed).fill()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # autovacuum would within a minute
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=10)
    options = parser.parse_args()
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
    import django

    django.setup()
    print(json.dumps(fill(Size(options.patients), options.seed)))


if __name__ == "__main__":
    main()
