"""A dataset version beside others: Table 1 with an external set, the drift between two sets of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cases.dataset_choices import Settings
from cases.drift import FEATURES, Difference, Mix, Values, difference
from cases.models import CaptureDevice, Cohort, DatasetVersion, HpfImage, SortingTask
from cases.selectors.curation import colours_of
from cases.selectors.dataset_plan import counts_of
from cases.selectors.datasets import dataset_class_map
from cases.selectors.usable import Choices, images_usable
from cases.table_one import TableOne, table_one
from leukoweb.core.exceptions import DomainError

SPLITS = {"train": "training part", "internal": "internal validation part"}


def tasks_of(cohort: Cohort, version: DatasetVersion) -> list[SortingTask]:
    """Sorting tasks of a cohort whose labels the version's map can read, the newest last."""
    tasks = SortingTask.objects.filter(cohorts=cohort, taxonomy=version.taxonomy_id)
    return list(tasks.select_related("taxonomy").order_by("pk"))


def external_counts(version: DatasetVersion, cohort: Cohort) -> dict[str, Any]:
    """Images and patients of a cohort by class, by the version's map and minimum of images.

    Raises `DomainError` if nobody has sorted the cohort.
    """
    tasks = tasks_of(cohort, version)
    if not tasks:
        raise DomainError(
            f"{cohort} has no sorting task with taxonomy {version.taxonomy}.", field="external",
            hint="Its images need labels to be counted by class.",
        )  # fmt: skip
    settings = Settings(class_map=version.class_map, min_images=int(version.choices["min_images"]))
    lines = images_usable(Choices((cohort,), tuple(tasks), settings)).lines("external")
    return counts_of(lines, dataset_class_map(version), ("external",))


def table_one_of(version: DatasetVersion, cohort: Cohort | None) -> TableOne:
    """Table 1 of a version, with an external cohort if one is named."""
    return table_one(version.counts, external_counts(version, cohort) if cohort else None)


@dataclass(frozen=True)
class Set:
    """A set of images to be compared: how an address names it, and its title."""

    key: str
    title: str


def sets_of(version: DatasetVersion) -> list[Set]:
    """What can be compared: the version's two parts, its cameras, and every cohort. 2 queries."""
    cameras = CaptureDevice.objects.filter(slides__images__in=version.entries.values("image")).distinct()
    return [
        *(Set(name, f"{version}, {title}") for name, title in SPLITS.items()),
        *(Set(f"device-{device.pk}", f"{version}, camera {device}") for device in cameras),
        *(Set(f"cohort-{cohort.pk}", f"Cohort {cohort}") for cohort in Cohort.objects.all()),
    ]


@dataclass(frozen=True)
class Measured:
    """The measured images of a set: a column for each feature, and images by class where labels are known."""

    title: str
    n_images: int
    n_patients: int
    values: Mapping[str, Values]
    classes: Mapping[str, int]


@dataclass(frozen=True)
class Drift:
    first: Measured
    second: Measured
    rows: list[Difference]
    mix: Mix | None


def drift_of(version: DatasetVersion, first: Set, second: Set) -> Drift:
    """Compare two sets. Raises `DomainError` where one has no measured image. Constant queries."""
    class_map = dataset_class_map(version)
    a, b = (_measured(version, one) for one in (first, second))
    mix = None
    if a.classes and b.classes:
        counts = [tuple(side.classes.get(name, 0) for name in class_map.classes) for side in (a, b)]
        mix = Mix(class_map.classes, counts[0], counts[1])
    return Drift(a, b, [difference(name, a.values[name], b.values[name]) for name in FEATURES], mix)


def _measured(version: DatasetVersion, one: Set) -> Measured:
    kind, _, number = one.key.partition("-")
    images = HpfImage.objects.filter(slide__patient__withdrawn_at=None)
    entries = version.entries.filter(patient__withdrawn_at=None)
    if kind == "cohort":
        cohort = Cohort.objects.get(pk=int(number))
        images = images.filter(slide__patient__cohort=cohort)
        classes = _cohort_classes(version, cohort)
    else:
        entries = entries.filter(image__slide__device=int(number)) if kind == "device" else entries.filter(split=kind)
        images = images.filter(pk__in=entries.values("image"))
        class_map = dataset_class_map(version)
        classes = dict(Counter(class_map(label) for label in entries.values_list("label", flat=True)))
    fields = ("colour", "sharpness", "exposure", "stain", "illumination", "nucleated", "width_px", "height_px")
    rows = list(colours_of(images).order_by("pk").values_list("slide__patient_id", *fields))
    if not rows:
        raise DomainError(f"{one.title} has no measured image.", hint="Measure the images on the curation page.")
    colours = [row[1] for row in rows]
    columns = {
        "red": [c["mean"][0] for c in colours], "green": [c["mean"][1] for c in colours],
        "blue": [c["mean"][2] for c in colours], "background": [sum(c["background"]) / 3 for c in colours],
        **{name: [row[at] for row in rows] for at, name in enumerate(fields[1:], start=2)},
    }  # fmt: skip
    values = {name: np.array(columns[name], dtype=np.float64) for name in FEATURES}
    return Measured(one.title, len(rows), len({row[0] for row in rows}), values, classes)


def _cohort_classes(version: DatasetVersion, cohort: Cohort) -> dict[str, int]:
    if not tasks_of(cohort, version):
        return {}
    counts: dict[str, int] = external_counts(version, cohort)["images"]["external"]
    return counts if any(counts.values()) else {}
