"""Which patients a protocol means, with which fields: what a lock freezes, and why it cannot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, OuterRef, Q, Subquery

from cases.models import Cohort, Exclusion, HpfImage, Patient, Slide
from reader_study.models import Study
from reader_study.protocol import Problem

FEW_FIELDS = 3  # the paper's own limit: fewer than three fields of a patient were left out


@dataclass
class CaseList:
    """``patients`` and ``training`` in the order of their codes; ``manifests`` by patient id."""

    cohort: Cohort | None = None
    patients: list[Patient] = field(default_factory=list)
    training: list[Patient] = field(default_factory=list)
    manifests: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def everybody(self) -> list[Patient]:
        return self.patients + self.training

    @property
    def n_images(self) -> int:
        return sum(len(manifest) for manifest in self.manifests.values())


def usable_images(patients: Sequence[Patient]) -> Any:
    """Fields of these patients that nobody has excluded, in capture order."""
    newest = Exclusion.objects.filter(image=OuterRef("pk")).order_by("-id").values("excluded")[:1]
    images = HpfImage.objects.filter(slide__patient__in=[p.pk for p in patients], slide__patient__withdrawn_at=None)
    return (
        images.annotate(out=Subquery(newest))
        .filter(Q(out=None) | Q(out=False))
        .order_by("slide__code", "position", "id")
    )


def manifest_sha256(manifest: list[dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def case_list(document: dict[str, Any]) -> CaseList:
    """Resolve the cases of a protocol. 7 queries at most, whatever the number of patients."""
    found, wanted = CaseList(), document["cases"]
    if not wanted["cohort"]:
        return found
    found.cohort = Cohort.objects.filter(name=wanted["cohort"]).first()
    if found.cohort is None:
        found.problems.append(Problem("cases.cohort", f"There is no cohort {wanted['cohort']!r}."))
        return found
    live = {p.code: p for p in Patient.objects.filter(cohort=found.cohort, withdrawn_at=None).order_by("code")}
    found.training = _named(wanted["training"], live, "cases.training", found)
    chosen = [code for code in live if code not in set(wanted["training"])]
    if wanted["patients"] != "all":
        chosen = wanted["patients"]
    found.patients = _named(chosen, live, "cases.patients", found)
    if not found.patients:
        found.problems.append(Problem("cases.patients", "No patient is left to read."))
    read_here = any(reader["username"] for reader in document["readers"]) or not document["readers"]
    if found.everybody and read_here:
        _fields(found)
    elif found.everybody:
        found.manifests = {patient.pk: [] for patient in found.everybody}
    return found


def frozen_cases(study: Study) -> CaseList:
    """The patients of a locked study as its sessions show them, whatever became of the cohort since. 1 query."""
    found = CaseList(cohort=study.cohort)
    for case in study.cases.select_related("patient").order_by("patient__code"):
        (found.training if case.training else found.patients).append(case.patient)
        found.manifests[case.patient_id] = case.manifest
    return found


def _named(codes: Sequence[str], live: dict[str, Patient], path: str, found: CaseList) -> list[Patient]:
    unknown = [code for code in codes if code not in live]
    if unknown:
        found.problems.append(
            Problem(path, f"{len(unknown)} not in the cohort (or withdrawn): {', '.join(unknown[:10])}"
                    f"{', ...' if len(unknown) > 10 else ''}.")
        )  # fmt: skip
    return [live[code] for code in sorted(set(codes)) if code in live]


def _fields(found: CaseList) -> None:
    found.manifests = {patient.pk: [] for patient in found.everybody}
    rows = usable_images(found.everybody).values_list("slide__patient", "public_id", "content_sha256")
    for patient, public_id, content in rows:
        found.manifests[patient].append({"image": str(public_id), "content_sha256": content})
    codes = {patient.pk: patient.code for patient in found.everybody}
    _problem(found, "have no field", [codes[pk] for pk, images in found.manifests.items() if not images])
    unread = Slide.objects.filter(patient__in=list(codes)).exclude(review=Slide.Review.PASSED)
    unread = unread.annotate(n=Count("images")).filter(n__gt=0).order_by("code")
    _problem(
        found, "have slides that nobody has reviewed", sorted({codes[s.patient_id] for s in unread}),
        hint="A technician looks at every field first: nothing may show an identity or a label.",
    )  # fmt: skip
    few = [codes[pk] for pk, images in found.manifests.items() if 0 < len(images) < FEW_FIELDS]
    _warning(found, f"have fewer than {FEW_FIELDS} fields", few)
    owners: dict[str, set[int]] = {}
    for pk, images in found.manifests.items():
        for image in images:
            owners.setdefault(image["content_sha256"], set()).add(pk)
    shared = {codes[pk] for patients in owners.values() if len(patients) > 1 for pk in patients}
    _warning(found, "share an identical field with another patient: an identity may be mixed up", sorted(shared))


def in_short(codes: list[str]) -> str:
    return f"{', '.join(codes[:10])}{', ...' if len(codes) > 10 else ''}"


def _problem(found: CaseList, words: str, codes: list[str], *, hint: str = "") -> None:
    if codes:
        found.problems.append(Problem("cases", f"Some patients {words} ({len(codes)}): {in_short(codes)}.", hint))


def _warning(found: CaseList, words: str, codes: list[str]) -> None:
    if codes:
        found.warnings.append(Problem("cases", f"Some patients {words} ({len(codes)}): {in_short(codes)}."))


def without_reference(patients: Sequence[Patient]) -> int:
    """How many have no reference diagnosis yet; never which one anybody has."""
    counted = Patient.objects.filter(pk__in=[p.pk for p in patients]).aggregate(
        n=Count("pk", filter=Q(references=None), distinct=True)
    )
    return int(counted["n"])
