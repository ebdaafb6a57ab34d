"""What a dataset version would be if it were frozen now: its images, its split, its proof, and what stands against it.

Constant queries: about 12, and one for every 500 contents that a perceptual hash proposed as duplicates.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cases.flow import Step
from cases.keeping import folds_kept, sides_kept
from cases.likeness import groups
from cases.manifests import Decided, LeftOut, Line, decisions_digest, manifest
from cases.models import AdjudicationDecision, Cohort, DatasetEntry, DatasetVersion, HpfImage, SortingItem, Taxonomy
from cases.selectors.duplicates import Alike, Search, Seen, duplicates_find, live_seen
from cases.selectors.usable import Choices, Row, images_usable
from cases.splitting import (
    INTERNAL,
    TRAIN,
    Check,
    PatientCounts,
    Placed,
    fold_patients,
    leakage_checks,
    split_patients,
    stratum_of,
)
from cases.taxonomy import ClassMap
from leukoweb.core.blindfold import hidden_patients
from leukoweb.core.exceptions import DomainError
from leukoweb.core.words import counted

NO_LEUKEMIA = "NO_LEUKEMIA"


@dataclass(frozen=True)
class Problem:
    """Why the version cannot be frozen now, or (a warning) what a person should know first."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class PlannedImage:
    row: Row
    label: str
    split: str
    fold: int

    @property
    def line(self) -> Line:
        return Line(self.row.patient, self.row.slide, self.row.content, self.label, self.split, self.fold)


@dataclass(frozen=True)
class Plan:
    """A version before it is frozen. ``problems`` must be empty for a freeze."""

    choices: Choices
    taxonomy: Taxonomy
    class_map: ClassMap
    images: tuple[PlannedImage, ...]
    flow: tuple[Step, ...]
    left_out: tuple[LeftOut, ...]
    checks: tuple[Check, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    synthetic: bool
    decisions_sha256: str

    @cached_property
    def counts(self) -> dict[str, Any]:
        return counts_of([image.line for image in self.images], self.class_map)

    @property
    def n_patients(self) -> int:
        return len({image.row.patient_id for image in self.images})

    def fingerprint(self, name: str) -> str:
        """Of all that a freeze as ``name`` would write: tells whether somebody looked at exactly this. SHA-256, hex."""
        return hashlib.sha256(name.strip().encode() + b"\0" + self.manifest()).hexdigest()

    def manifest(self) -> bytes:
        taxonomy = {
            "name": self.taxonomy.name, "version": self.taxonomy.version, "sha256": self.taxonomy.sha256,
            "class_map": {"classes": list(self.class_map.classes), "by_label": dict(self.class_map.by_label)},
        }  # fmt: skip
        return manifest(
            choices=self.choices.as_dict(), taxonomy=taxonomy, lines=[image.line for image in self.images],
            left_out=self.left_out, decisions_sha256=self.decisions_sha256,
        )  # fmt: skip


def background_of(class_map: ClassMap) -> str | None:
    """The class of fields without leukemia, which every patient may have; None where the taxonomy has no such label."""
    return class_map.by_label.get(NO_LEUKEMIA)


def counts_of(lines: Sequence[Line], class_map: ClassMap, splits: Sequence[str] = (TRAIN, INTERNAL)) -> dict[str, Any]:
    """Images by split and label, images and patients by split and class, images by fold."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    images: dict[str, Counter[str]] = defaultdict(Counter)
    folds: dict[int, Counter[str]] = defaultdict(Counter)
    by_patient: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in lines:
        labels[line.split][line.label] += 1
        images[line.split][class_map(line.label)] += 1
        by_patient[line.split, line.patient][class_map(line.label)] += 1
        if line.fold:
            folds[line.fold][class_map(line.label)] += 1
    patients: dict[str, Counter[str]] = defaultdict(Counter)
    for (split, _), own in by_patient.items():
        patients[split][stratum_of(own, class_map.classes, background_of(class_map))] += 1
    return {
        "classes": list(class_map.classes),
        "labels": {split: {name: labels[split][name] for name in class_map.labels} for split in splits},
        "images": {split: {name: images[split][name] for name in class_map.classes} for split in splits},
        "patients": {split: {name: patients[split][name] for name in class_map.classes} for split in splits},
        "folds": {str(fold): {name: folds[fold][name] for name in class_map.classes} for fold in sorted(folds)},
    }


def dataset_plan(choices: Choices) -> Plan:
    """Raises `DomainError` where the choices make no sense at all; everything else is in ``problems``."""
    usable = images_usable(choices)
    taxonomy, class_map, rows, labels = usable.taxonomy, usable.class_map, usable.rows, usable.labels
    kept = usable.kept
    problems, warnings = [*_blindfold(), *_purposes(choices)], list[Problem]()
    search = duplicates_find(_with_external(choices.cohorts))
    problems += _duplicates(search, kept, rows)
    sides, folds, trouble = _split(kept, labels, class_map, choices)
    problems += trouble
    images = [PlannedImage(row, labels[row.pk], sides[row.patient], folds[row.patient]) for row in kept if sides]
    checks = _proof(images, search.pairs)
    problems += [
        Problem("E_LEAK", f'Leakage: "{c.title}" does not hold ({len(c.found)} found).') for c in checks if c.found
    ]
    warnings += _warnings(images, class_map, search, {row.pk for row in kept})
    return Plan(
        choices=choices, taxonomy=taxonomy, class_map=class_map, images=tuple(sorted(images, key=lambda i: i.line)),
        flow=usable.flow,
        left_out=tuple(LeftOut(r.patient, r.slide, r.content, usable.steps[r.pk]) for r in usable.gone),
        checks=tuple(checks), problems=tuple(problems), warnings=tuple(warnings),
        synthetic=any(cohort.synthetic for cohort in choices.cohorts),
        decisions_sha256=_decisions(choices, rows),
    )  # fmt: skip


def _blindfold() -> list[Problem]:
    """Whoever reads or sorts blinded would freeze a part for the whole, with a proof that never saw the rest."""
    if not hidden_patients():
        return []
    return [
        Problem("E_BLINDED", "You read or sort blinded at the moment, so patients are missing from what you see here.",
                "Freeze it when the study is unblinded or the sorting task is closed, or ask somebody who is not "
                "blinded.")
    ]  # fmt: skip


def _purposes(choices: Choices) -> list[Problem]:
    external = sorted(cohort.name for cohort in choices.cohorts if cohort.purpose != Cohort.Purpose.DEVELOPMENT)
    if not external:
        return []
    return [
        Problem("E_EXTERNAL", f"{', '.join(external)} is kept for external validation and is never trained on.",
                "Choose development cohorts only.")
    ]  # fmt: skip


def _with_external(cohorts: Iterable[Cohort]) -> list[Seen]:
    """The chosen cohorts and every external one: what training must not share with them is looked for too."""
    external = Cohort.objects.filter(purpose=Cohort.Purpose.EXTERNAL)
    return live_seen(list({cohort.pk: cohort for cohort in (*cohorts, *external)}.values()))


def _duplicates(search: Search, kept: Sequence[Row], rows: Sequence[Row]) -> list[Problem]:
    ours, chosen = {row.pk for row in kept}, {row.pk for row in rows}
    in_play = [
        pair for pair in search.pairs
        if pair.across_patients and not pair.different
        and (pair.first in ours or pair.second in ours)
        and all(at in ours or at not in chosen for at in (pair.first, pair.second))
    ]  # fmt: skip
    problems = []
    if unmeasured := search.unmeasured_beside({row.content for row in kept}):
        n = len(unmeasured)
        problems.append(
            Problem("E_UNMEASURED", f"{n} image{'s' if n > 1 else ''} of these or of external cohorts may be "
                    f"{'duplicates' if n > 1 else 'a duplicate'} of what is frozen and {'were' if n > 1 else 'was'} "
                    "not measured yet.",
                    "Measure the images on the curation page, or run `manage.py measure_images`.")
        )  # fmt: skip
    unsettled = [pair for pair in in_play if pair.settlement is None]
    if unsettled:
        n = len(unsettled)
        problems.append(
            Problem("E_DUPLICATES", f"{n} pair{'s' if n > 1 else ''} of images that look the same belong"
                    f"{'' if n > 1 else 's'} to different patients and {'are' if n > 1 else 'is'} not settled.",
                    "Settle them on the duplicates page.")
        )  # fmt: skip
    problems += _settled_in_vain([pair for pair in in_play if pair.settlement], {row.pk: row for row in kept})
    return problems


def _settled_in_vain(pairs: Sequence[Alike], ours: Mapping[int, Row]) -> list[Problem]:
    """Settled pairs of which no image went, or of which the one that stays is not ours to choose: the external one."""
    problems = []
    crossing = [pair for pair in pairs if not ours.keys() >= pair.images]
    outside = sorted({at for pair in crossing for at in pair.images & ours.keys()})
    if outside:
        row, n = ours[outside[0]], len(outside)
        also = f", as {'are' if n > 2 else 'is'} {counted(n - 1, 'other image')}" if n > 1 else ""
        problems.append(
            Problem("E_DUPLICATES", f"Field {row.position} of {row.slide} is in an external cohort too{also}: no "
                    "version can have it, whichever of the two was to be kept.",
                    "Take it out, or settle the pair anew and keep the external one.")
        )  # fmt: skip
    if n := sum(ours.keys() >= pair.images for pair in pairs):
        told = f"{counted(n, 'settled duplicate')} across patients {'is' if n == 1 else 'are'} in again."
        hint = "Exclude the image that was not to be kept, or settle the pair anew."
        problems.append(Problem("E_DUPLICATES", told, hint))
    return problems


def _split(
    kept: Sequence[Row], labels: dict[int, str], class_map: ClassMap, choices: Choices
) -> tuple[dict[str, str], dict[str, int], list[Problem]]:
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for row in kept:
        by_class[row.patient][class_map(labels[row.pk])] += 1
    background = background_of(class_map)
    patients = [
        PatientCounts(code, stratum_of(counts, class_map.classes, background), counts)
        for code, counts in sorted(by_class.items())
    ]
    if not patients:
        return {}, {}, [Problem("E_EMPTY", "No image is left.", "The flow below says where they went.")]
    try:
        if choices.settings.folds:
            folds = _folds(patients, kept, class_map, choices)
            return {code: INTERNAL if fold == 1 else TRAIN for code, fold in folds.items()}, folds, []
        sides = _sides(patients, kept, class_map, choices)
    except DomainError as error:
        return {}, {}, [Problem(error.code, error.message, error.hint)]
    if INTERNAL not in sides.values():
        one = Problem("E_ONE_SIDED", "No patient is left for internal validation: each class has one patient alone.",
                      "Add patients, or label more of them.")  # fmt: skip
        return sides, dict.fromkeys(sides, 0), [one]
    return sides, dict.fromkeys(sides, 0), []


def _sides(
    patients: Sequence[PatientCounts], kept: Sequence[Row], class_map: ClassMap, choices: Choices
) -> dict[str, str]:
    settings = choices.settings
    if choices.sides_of is None:
        return split_patients(patients, fraction=settings.fraction, seed=settings.seed, classes=class_map.classes)
    before = {code: split for code, (split, _) in _before(choices.sides_of, kept).items()}
    return sides_kept(patients, before, fraction=settings.fraction, seed=settings.seed)


def _folds(
    patients: Sequence[PatientCounts], kept: Sequence[Row], class_map: ClassMap, choices: Choices
) -> dict[str, int]:
    settings = choices.settings
    if choices.sides_of is None:
        return fold_patients(patients, folds=settings.folds, seed=settings.seed, classes=class_map.classes)
    before = {code: fold for code, (_, fold) in _before(choices.sides_of, kept).items()}
    return folds_kept(patients, before, folds=settings.folds, seed=settings.seed)


def _before(version: DatasetVersion, kept: Sequence[Row]) -> dict[str, tuple[str, int]]:
    """Code of today -> (side, fold) in an earlier version, for every patient of it. One query."""
    codes = {row.patient_id: row.patient for row in kept}
    rows = DatasetEntry.objects.filter(dataset=version).order_by()
    placed = rows.values_list("patient_id", "patient_code", "split", "fold").distinct()
    return {codes.get(patient_id, code): (split, fold) for patient_id, code, split, fold in placed}


def _proof(images: Sequence[PlannedImage], pairs: Sequence[Alike]) -> list[Check]:
    at = {image.row.pk: number for number, image in enumerate(images)}
    linked = [(at[p.first], at[p.second]) for p in pairs if not p.different and p.first in at and p.second in at]
    numbers = groups(len(images), linked)
    placed = [
        Placed(image.row.patient, image.row.content, int(group), image.split, image.fold)
        for image, group in zip(images, numbers, strict=True)
    ]
    external = HpfImage.objects.filter(
        slide__patient__cohort__purpose=Cohort.Purpose.EXTERNAL, slide__patient__withdrawn_at=None
    )
    return leakage_checks(placed, external=dict(external.values_list("content_sha256", "slide__patient__code")))


def _warnings(images: Sequence[PlannedImage], class_map: ClassMap, search: Search, kept: set[int]) -> list[Problem]:
    warnings = []
    within = [
        p for p in search.pairs
        if not p.across_patients and p.settlement is None and p.first in kept and p.second in kept
    ]  # fmt: skip
    if within:
        n = len(within)
        warnings.append(
            Problem("W_DUPLICATES", f"{n} pair{'s' if n > 1 else ''} of images of one patient look"
                    f"{'' if n > 1 else 's'} the same; both are in.", "Settle them to keep one of each.")
        )  # fmt: skip
    counted = Counter(class_map(image.label) for image in images)
    if absent := [name for name in class_map.classes if not counted[name]]:
        warnings.append(
            Problem("W_CLASS", f"No image of {', '.join(absent)}.", "A model cannot learn what is not there.")
        )
    held = {class_map(image.label) for image in images if image.split == INTERNAL}
    if lacking := [name for name in class_map.classes if counted[name] and name not in held]:
        warnings.append(
            Problem("W_INTERNAL", f"Internal validation has no image of {', '.join(lacking)}.",
                    "Too few patients have this class.")
        )  # fmt: skip
    if counted and max(counted.values()) > 10 * min(counted.values()):
        most, least = max(counted, key=lambda c: counted[c]), min(counted, key=lambda c: counted[c])
        warnings.append(
            Problem("W_IMBALANCE", f"{most} has {counted[most]} images, {least} {counted[least]}.",
                    "Weigh the classes in training, or collect more.")
        )  # fmt: skip
    return warnings


def _decisions(choices: Choices, rows: Sequence[Row]) -> str:
    """Over every verdict in force on images of the chosen cohorts, sorters' and adjudicators'."""
    tasks = [task.pk for task in choices.tasks]
    chosen = {row.pk for row in rows}
    given = [
        (image_id, Decided(*values))
        for image_id, *values in SortingItem.objects.filter(seat__task__in=tasks).exclude(current=None).values_list(
            "image_id", "image__content_sha256", "image__slide__code", "seat__task__name", "seat__user__username",
            "current__verdict", "current__label",
        )
    ]  # fmt: skip
    settled: dict[tuple[int, int, int], Decided] = {}
    for image_id, task, seat, *values in AdjudicationDecision.objects.filter(task__in=tasks).order_by("pk").values_list(
        "image_id", "task_id", "seat_id", "image__content_sha256", "image__slide__code", "task__name",
        "seat__user__username", "verdict", "label",
    ):  # fmt: skip
        settled[image_id, task, seat] = Decided(*values)
    counted = [one for image_id, one in given if image_id in chosen]
    counted += [one for (image_id, _, _), one in settled.items() if image_id in chosen]
    return decisions_digest(counted)
