"""A task with images that need no pixels, and deciding without a browser."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cases.models import Cohort, HpfImage, Patient, Slide, SortingDecision, SortingItem, SortingSeat, SortingTask


def images_make(cohort: Cohort, n_patients: int, n_each: int, *, prefix: str = "S") -> list[HpfImage]:
    """Rows without files: ``n_patients`` patients with one slide of ``n_each`` images."""
    rows = []
    for p in range(n_patients):
        patient = Patient.objects.create(code=f"{prefix}-{p}", cohort=cohort)
        slide = Slide.objects.create(code=f"{prefix}-{p}-AML", patient=patient)
        for position in range(1, n_each + 1):
            sha = hashlib.sha256(f"{prefix}{p}/{position}".encode()).hexdigest()
            rows.append(
                HpfImage(slide=slide, position=position, content_sha256=sha, received_sha256=sha, format="PNG",
                         width_px=80, height_px=60, size_bytes=9)
            )  # fmt: skip
    return HpfImage.objects.bulk_create(rows)


@pytest.fixture
def training(db: None) -> Cohort:
    return Cohort.objects.create(name="Training", purpose="development")


@pytest.fixture
def images(training: Cohort) -> list[HpfImage]:
    return images_make(training, 3, 4)


@pytest.fixture
def sorters(make_user: Callable[..., Any]) -> list[Any]:
    return [make_user("pathologist", name) for name in ("anna", "ben", "cleo")]


@pytest.fixture
def decide(db: None) -> Callable[..., SortingDecision]:
    """``decide(seat, image, "AML")`` writes a decision as the newest one, without the service."""

    def write(seat: SortingSeat, image: HpfImage, label: str = "", verdict: str = "label") -> SortingDecision:
        made = SortingDecision.objects.create(seat=seat, image=image, key=uuid.uuid4(), verdict=verdict, label=label)
        SortingItem.objects.filter(seat=seat, image=image).update(current=made)
        return made

    return write


def seat_make(task: SortingTask, user: Any, images: list[HpfImage], part: str = "sorter") -> SortingSeat:
    seat = SortingSeat.objects.create(task=task, user=user, part=part, seed=user.pk)
    SortingItem.objects.bulk_create(
        SortingItem(seat=seat, image=image, position=n) for n, image in enumerate(images, start=1)
    )
    return seat
