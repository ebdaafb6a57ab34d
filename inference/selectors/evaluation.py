"""Patients whose diagnosis is known, with their images; and what a dataset's images were captured with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from cases.models import Cohort, DatasetVersion, HpfImage, ReferenceDiagnosis
from cases.selectors.datasets import dataset_rows
from inference.pipeline.classes import DIAGNOSES_5
from inference.pipeline.training_data import INTERNAL
from inference.pipeline.validation import size_group

UNKNOWN_DEVICE = "device not known"


@dataclass(frozen=True)
class KnownPatient:
    """``reference`` is the newest reference diagnosis or, without one, what the sorted labels say."""

    code: str
    reference: str
    from_labels: bool
    device: str
    images: tuple[HpfImage, ...]


def internal_patients(dataset: DatasetVersion) -> list[KnownPatient]:
    """Internal-validation patients of a version, in their frozen order; two queries."""
    entries = dataset_rows(dataset).filter(split=INTERNAL).select_related("image__slide__device")
    images: dict[int, list[HpfImage]] = defaultdict(list)
    labels: dict[int, list[str]] = defaultdict(list)
    codes: dict[int, str] = {}
    for entry in entries:
        codes.setdefault(entry.patient_id, entry.patient_code)
        images[entry.patient_id].append(entry.image)
        labels[entry.patient_id].append(entry.label)
    references = _newest_references(codes)
    by_label = dataset.taxonomy.maps["five"]["by_label"]
    return [
        KnownPatient(
            code, references.get(pk) or diagnosis_from_labels(by_label[label] for label in labels[pk]),
            pk not in references, _device(images[pk][0]), tuple(images[pk]),
        )
        for pk, code in codes.items()
    ]  # fmt: skip


def cohort_patients(cohort: Cohort) -> list[KnownPatient]:
    """Patients of a cohort who have a reference diagnosis and were not withdrawn; two queries."""
    rows = (
        HpfImage.objects.filter(slide__patient__cohort=cohort, slide__patient__withdrawn_at=None)
        .select_related("slide__device", "slide__patient")
        .order_by("slide__patient__code", "slide__code", "position", "id")
    )
    images: dict[int, list[HpfImage]] = defaultdict(list)
    for image in rows:
        images[image.slide.patient_id].append(image)
    references = _newest_references(images)
    return [
        KnownPatient(found[0].slide.patient.code, references[pk], False, _device(found[0]), tuple(found))
        for pk, found in images.items()
        if pk in references
    ]


def diagnosis_from_labels(classes: Iterable[str]) -> str:
    """The leukemia that most images show, in class order where equal; NO_LEUKEMIA where none shows one."""
    found = list(classes)
    leukemias = [name for name in DIAGNOSES_5 if name != "NO_LEUKEMIA" and name in found]
    return max(leukemias, key=found.count) if leukemias else "NO_LEUKEMIA"


def entry_groups(dataset: DatasetVersion, split: str = INTERNAL) -> dict[str, list[str]]:
    """A word per image in frozen order: the capture device, and how many images its slide gave. One query."""
    rows = dataset_rows(dataset).filter(split=split).select_related("image__slide__device")
    images = [entry.image for entry in rows]
    counts: dict[int, int] = defaultdict(int)
    for image in images:
        counts[image.slide_id] += 1
    return {
        "capture device": [_device(image) for image in images],
        "images of the slide": [size_group(counts[image.slide_id]) for image in images],
    }


def _newest_references(patients: Iterable[int]) -> dict[int, str]:
    rows = ReferenceDiagnosis.objects.filter(patient__in=list(patients)).order_by("id")
    return dict(rows.values_list("patient_id", "diagnosis"))


def _device(image: HpfImage) -> str:
    return str(image.slide.device) if image.slide.device else UNKNOWN_DEVICE
