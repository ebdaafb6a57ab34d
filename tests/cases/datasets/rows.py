"""Datasets made of rows: images without pixels, labels as imported decisions, measured by decree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cases.dataset_choices import Settings
from cases.models import Cohort, HpfImage, ImageQuality, Patient, Slide, SortingTask
from cases.quality import MEASURE_VERSION
from cases.selectors.usable import Choices
from cases.services.label_imports import labels_import
from cases.services.taxonomies import taxonomy_ensure


def sha_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def images_make(slide: Slide, n: int, *, tag: str = "") -> list[HpfImage]:
    """Rows without files; hashes differ in about half their bits, so nothing looks alike by chance."""
    first = slide.images.count() + 1
    return HpfImage.objects.bulk_create(
        HpfImage(
            slide=slide, position=at, content_sha256=sha_of(f"{slide.code}{tag}/{at}"), received_sha256=sha_of("r"),
            format="PNG", width_px=80, height_px=60, size_bytes=9, phash=sha_of(f"p{slide.code}{tag}/{at}")[:16],
        )
        for at in range(first, first + n)
    )  # fmt: skip


def cohort_make(
    name: str, patients: Mapping[str, Mapping[str, int]], *, purpose: str = "development"
) -> tuple[Cohort, dict[int, str]]:
    """``{patient code: {label: images}}`` -> the cohort and image id -> label; one slide for each patient."""
    cohort = Cohort.objects.create(name=name, purpose=purpose)
    labels: dict[int, str] = {}
    for code, by_label in patients.items():
        slide = Slide.objects.create(code=f"{code}-S1", patient=Patient.objects.create(code=code, cohort=cohort))
        wanted = [label for label, n in by_label.items() for _ in range(n)]
        labels |= {image.pk: label for image, label in zip(images_make(slide, len(wanted)), wanted, strict=True)}
    return cohort, labels


def labelled(cohort: Cohort, labels: Mapping[int, str], *, actor: Any = None, name: str = "") -> SortingTask:
    return labels_import(
        actor=actor,
        sorter=actor,
        name=name or f"Labels of {cohort.name}",
        cohorts=[cohort],
        taxonomy=taxonomy_ensure(),
        labels=labels,
    )


def quality_make(content: str, *, seed: int | None = None, **values: Any) -> ImageQuality:
    """A row as the measuring job writes it; the same seed gives the same signature."""
    rng = np.random.default_rng(int(content[:8], 16) if seed is None else seed)
    fields = {
        "sharpness": 0.4, "exposure": 0.7, "clipped": 0.0, "stain": 0.3, "illumination": 0.1, "nucleated": 0.02,
        "colour": {"mean": [0.8, 0.7, 0.75], "sd": [0.1, 0.1, 0.1], "background": [0.9, 0.9, 0.9]},
        "signature": rng.integers(-100, 100, 1024).astype(np.int8).tobytes(),
    }  # fmt: skip
    return ImageQuality.objects.create(content_sha256=content, measure_version=MEASURE_VERSION, **fields | values)


def choices_of(cohorts: Sequence[Cohort], tasks: Sequence[SortingTask], **settings: Any) -> Choices:
    return Choices(tuple(cohorts), tuple(tasks), Settings(**settings))


SMALL = {
    "P-1": {"AML": 3, "NO_LEUKEMIA": 2},
    "P-2": {"AML": 4},
    "P-3": {"ALL": 3},
    "P-4": {"ALL": 3, "NO_LEUKEMIA": 5},
    "P-5": {"CLL": 4},
    "P-6": {"CLL": 3},
    "P-7": {"CML": 3},
    "P-8": {"CML": 3},
    "P-9": {"NO_LEUKEMIA": 4, "REACTIVE": 1},
    "P-10": {"NO_LEUKEMIA": 3},
}
"""Two patients of each class."""
