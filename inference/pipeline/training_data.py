"""From the frozen list of a dataset version to what a trainer reads, with every refusal in words. Free of torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.training_config import PARTS
from leukoweb.core.exceptions import DomainError

TRAIN, INTERNAL = "train", "internal"


class TrainingRefused(DomainError):
    """A dataset that no honest model can be trained on; the code says why."""

    code = "E_TRAINING_DATA"
    status = 409


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a dataset version."""

    content_sha256: str
    patient: str
    label: str
    split: str
    external: bool = False
    image: int = 0  # the row's id, for pages that link to it


@dataclass(frozen=True, slots=True)
class PartMap:
    """From the taxonomy's labels to the classes of one part, in the order of the network's outputs."""

    part: str
    classes: tuple[str, ...]
    by_label: dict[str, str]

    def targets(self, entries: Sequence[Entry]) -> NDArray[np.int64]:
        return np.array([self.classes.index(self.by_label[entry.label]) for entry in entries], dtype=np.int64)


def part_map(part: str, maps: Mapping[str, Any]) -> PartMap:
    """The map of a part out of a taxonomy's maps ``{name: {classes, by_label}}``; TrainingRefused (E_CLASS_MAP)."""
    slot, name, title = PARTS[part]
    given = maps.get(name)
    classes = tuple(given.get("classes", ())) if isinstance(given, Mapping) else ()
    by_label = dict(given.get("by_label", {})) if isinstance(given, Mapping) else {}
    if not classes or not by_label:
        raise TrainingRefused(
            f"The taxonomy's class map {name!r}, which {title} learns, is {'missing' if given is None else 'empty'}.",
            code="E_CLASS_MAP", hint="Make a version of the taxonomy with this map, and freeze the dataset with it.",
            field="class_map",
        )  # fmt: skip
    if classes not in SLOT_CLASSES[slot]:
        allowed = " or ".join(", ".join(names) for names in SLOT_CLASSES[slot])
        raise TrainingRefused(
            f"The class map {name!r} gives {', '.join(classes)}; {title} needs {allowed}, in this order.",
            code="E_CLASS_MAP", hint="Give the map these classes.", field="class_map",
        )  # fmt: skip
    if strange := sorted(set(by_label.values()) - set(classes)):
        raise TrainingRefused(
            f"The class map {name!r} leads to {strange[0]!r}, which is none of its classes.",
            code="E_CLASS_MAP", field="class_map",
        )  # fmt: skip
    return PartMap(part, classes, by_label)


def check_entries(entries: Sequence[Entry], maps: Sequence[PartMap]) -> None:
    """Everything that can be seen without opening a file.

    Raises
    ------
    TrainingRefused
        ``E_DATASET_EMPTY``, ``E_EXTERNAL_PATIENT``, ``E_LEAK`` (a patient, or an identical image, on both sides),
        ``E_CLASS_MAP`` (a label that a map does not know), ``E_CLASS_WITHOUT_PATIENTS``.
    """
    if not entries:
        raise TrainingRefused("The dataset version holds no images.", code="E_DATASET_EMPTY", field="dataset")
    _refuse_patients(entries, [e for e in entries if e.external], "E_EXTERNAL_PATIENT", "of an external cohort")
    sides: dict[str, set[str]] = defaultdict(set)
    contents: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        sides[entry.patient].add(entry.split)
        contents[entry.content_sha256].add(entry.split)
    if both := sorted(patient for patient, where in sides.items() if len(where) > 1):
        raise TrainingRefused(
            f"{_some(both, 'patient')} on both sides of the split: in training and in internal validation.",
            code="E_LEAK", hint="Freeze a new version, split by patient.", field="dataset",
        )  # fmt: skip
    if twice := [content for content, where in contents.items() if len(where) > 1]:
        raise TrainingRefused(
            f"{len(twice)} images are in training and, with identical pixels, in internal validation.",
            code="E_LEAK", hint="Settle the duplicates under Curation, then freeze a new version.", field="dataset",
        )  # fmt: skip
    for part in maps:
        _check_classes(entries, part)


def refuse_known(patients: Sequence[str], versions: Sequence[str]) -> None:
    """TrainingRefused (E_LEAK) for internal-validation patients whom the start weights have learned from.

    ``versions``: names of the dataset versions behind those weights, the newest first.
    """
    if patients:
        raise TrainingRefused(
            f"{_some(sorted(patients), 'internal-validation patient')} known to the model that training would start "
            "from: it was trained on them, so that they prove nothing.",
            code="E_LEAK", field="initial_weights",
            hint=f"Freeze a version that keeps the sides of {' or of '.join(versions[:3])}, or start elsewhere.",
        )  # fmt: skip


def refuse_moved(patients: Sequence[str]) -> None:
    """TrainingRefused (E_MOVED) for images, each by its patient in the frozen list, that are another patient's now."""
    if patients:
        raise TrainingRefused(
            f"{len(patients)} image{'s' if len(patients) > 1 else ''} of the version, frozen as of "
            f"{', '.join(sorted(set(patients))[:3])}, {'belong' if len(patients) > 1 else 'belongs'} to another "
            "patient now: a patient may be on both sides.",
            code="E_MOVED", field="dataset", hint="Freeze a new version, with the sides of this one kept.",
        )  # fmt: skip


def _check_classes(entries: Sequence[Entry], part: PartMap) -> None:
    if unknown := sorted({entry.label for entry in entries} - set(part.by_label)):
        raise TrainingRefused(
            f"The label {unknown[0]!r} has no class in the map of {PARTS[part.part][2]}.",
            code="E_CLASS_MAP", hint="Map it in a new version of the taxonomy.", field="class_map",
        )  # fmt: skip
    for split, words in ((TRAIN, "training"), (INTERNAL, "internal validation")):
        patients: dict[str, set[str]] = {name: set() for name in part.classes}
        for entry in entries:
            if entry.split == split:
                patients[part.by_label[entry.label]].add(entry.patient)
        if lacking := [name for name, found in patients.items() if not found]:
            raise TrainingRefused(
                f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no patient in {words}, "
                f"so {PARTS[part.part][2]} cannot learn or be judged.",
                code="E_CLASS_WITHOUT_PATIENTS", field="dataset",
                hint="Sort images of more patients into the dataset, change the split, or leave this model out.",
            )  # fmt: skip


def _refuse_patients(entries: Sequence[Entry], found: Sequence[Entry], code: str, what: str) -> None:
    patients = sorted({entry.patient for entry in found})
    if patients:
        raise TrainingRefused(
            f"{_some(patients, 'patient')} {what}: {len(found)} of {len(entries)} images. Training refuses them.",
            code=code, hint="Freeze a new version without them.", field="dataset",
        )  # fmt: skip


def _some(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown}) {'are' if len(names) > 1 else 'is'}"


def class_counts(entries: Sequence[Entry], part: PartMap, split: str) -> dict[str, dict[str, int]]:
    """{class: {images, patients}} of one side."""
    images = Counter(part.by_label[e.label] for e in entries if e.split == split)
    patients = Counter(name for name, _ in {(part.by_label[e.label], e.patient) for e in entries if e.split == split})
    return {name: {"images": images[name], "patients": patients[name]} for name in part.classes}
