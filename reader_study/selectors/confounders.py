"""What besides the cells tells the classes apart: camera, number of fields, file size. Aggregates only.

A reader, or a network, that notices such a thing needs no haematology. It cannot be removed from images that were
taken so; it is measured, shown to the coordinator before the lock, and reported.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Subquery

from cases.models import Patient, ReferenceDiagnosis
from reader_study.protocol import reference_map
from reader_study.selectors.cases import CaseList, usable_images

V_LIMIT = 0.3
AUC_LIMIT = 0.7


@dataclass(frozen=True)
class Numeric:
    """One number per patient against the classes: its middle in each class, and how well it tells one class apart."""

    name: str
    unit: str
    medians: tuple[float, ...]  # by class; NaN for an empty one
    auc: float  # the largest over the classes of max(AUC, 1 - AUC), one against the rest; NaN if undefined
    worst: str  # the class of that AUC

    @property
    def warns(self) -> bool:
        return self.auc > AUC_LIMIT


@dataclass(frozen=True)
class Confounders:
    """``cameras`` counts patients, rows by camera, columns by class. Patients without a reference are left out."""

    classes: tuple[str, ...]
    sizes: tuple[int, ...]
    cameras: tuple[tuple[str, tuple[int, ...]], ...]
    cramers_v: float
    numeric: tuple[Numeric, ...]
    n_missing: int

    @property
    def camera_warns(self) -> bool:
        return self.cramers_v > V_LIMIT

    @property
    def warns(self) -> bool:
        return self.camera_warns or any(item.warns for item in self.numeric)


def cramers_v(table: Sequence[Sequence[int]]) -> float:
    """Cramer's V of a table of counts (rows, columns): 0 independent, 1 one determines the other.

    Empty rows and columns are left out; NaN if fewer than two of either remain. Cramer 1946, without bias correction.

    >>> cramers_v([[5, 0], [0, 5]])
    1.0
    """
    kept = [row for row in table if sum(row)]
    columns = [j for j in range(len(kept[0]) if kept else 0) if sum(row[j] for row in kept)]
    kept = [[row[j] for j in columns] for row in kept]
    if len(kept) < 2 or len(columns) < 2:
        return math.nan
    total = sum(map(sum, kept))
    rows, sums = [sum(row) for row in kept], [sum(column) for column in zip(*kept, strict=True)]
    chi2 = sum(
        (cell - rows[i] * sums[j] / total) ** 2 / (rows[i] * sums[j] / total)
        for i, row in enumerate(kept)
        for j, cell in enumerate(row)
    )
    return math.sqrt(chi2 / total / (min(len(kept), len(columns)) - 1))


def area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive's number is the larger one, ties half; NaN without either."""
    if not positive or not negative:
        return math.nan
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def median(values: Sequence[float]) -> float:
    ordered, n = sorted(values), len(values)
    if not n:
        return math.nan
    return float(ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2)


def confounders(document: dict[str, Any], cases: CaseList) -> Confounders:
    """The report for the patients of a protocol (training cases left out). 2 queries."""
    classes = tuple(document["classes"]["names"])
    labels = _labels(cases.patients, reference_map(document), classes)
    facts = _facts([patient for patient in cases.patients if patient.pk in labels])
    by_class: dict[str, list[dict[str, Any]]] = {name: [] for name in classes}
    for pk, fact in facts.items():
        by_class[labels[pk]].append(fact)
    names = sorted({fact["camera"] for fact in facts.values()})
    counted = {name: Counter(fact["camera"] for fact in by_class[name]) for name in classes}
    cameras = tuple((camera, tuple(counted[name][camera] for name in classes)) for camera in names)
    numeric = (
        _numeric("Fields per patient", "", "n", by_class),
        _numeric("Size of a field's file", "KB", "kilobytes", by_class),
        _numeric("Size of a field", "megapixels", "megapixels", by_class),
    )
    return Confounders(
        classes, tuple(len(by_class[name]) for name in classes), cameras,
        cramers_v([row for _, row in cameras]) if cameras else math.nan, numeric, len(cases.patients) - len(labels),
    )  # fmt: skip


def _labels(patients: Sequence[Patient], mapping: dict[str, str], classes: tuple[str, ...]) -> dict[int, str]:
    newest = ReferenceDiagnosis.objects.filter(patient=OuterRef("pk")).order_by("-id").values("diagnosis")[:1]
    rows = Patient.objects.filter(pk__in=[p.pk for p in patients]).annotate(reference=Subquery(newest))
    found = {pk: mapping.get(reference) for pk, reference in rows.values_list("pk", "reference") if reference}
    return {pk: name for pk, name in found.items() if name in classes}


def _facts(patients: Sequence[Patient]) -> dict[int, dict[str, Any]]:
    rows = usable_images(patients).values_list(
        "slide__patient", "slide__device__camera", "size_bytes", "width_px", "height_px"
    )
    gathered: dict[int, list[Any]] = {}
    for patient, *rest in rows:
        gathered.setdefault(patient, []).append(rest)
    return {
        patient: {
            "camera": ", ".join(sorted({camera or "not known" for camera, *_ in images})),
            "n": len(images),
            "kilobytes": sum(size for _, size, *_ in images) / len(images) / 1000,
            "megapixels": sum(w * h for *_, w, h in images) / len(images) / 1e6,
        }
        for patient, images in gathered.items()
    }


def _numeric(title: str, unit: str, key: str, by_class: dict[str, list[dict[str, Any]]]) -> Numeric:
    values = {name: [fact[key] for fact in facts] for name, facts in by_class.items()}
    best, worst = math.nan, ""
    for name, own in values.items():
        one = area(own, [value for other, rest in values.items() if other != name for value in rest])
        one = max(one, 1 - one)
        if math.isfinite(one) and not one <= best:
            best, worst = one, name
    return Numeric(title, unit, tuple(median(own) for own in values.values()), best, worst)
