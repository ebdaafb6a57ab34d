"""Who must not read whom: every earlier contact of a person with the patients of a study (decision 6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Q

from cases.models import AdjudicationDecision, DatasetEntry, Exposure, HpfImage, ReferenceDiagnosis, SortingDecision
from inference.models import PipelineVersion
from inference.selectors.ancestry import datasets_behind, is_uuid
from leukoweb.core.models import User
from reader_study.models import CaseIdentity, Reading, ReadingSession, Study

_SEEN = {
    Exposure.Kind.RESULT: "saw the AI result",
    Exposure.Kind.REFERENCE: "saw the reference diagnosis",
    Exposure.Kind.LABEL: "saw a sorting label",
}


@dataclass(frozen=True, slots=True, order=True)
class Overlap:
    """One reason why a person cannot read a patient blinded. ``patient`` is the code, for the coordinator."""

    patient: str
    reason: str


def overlaps(user: User, patients: Collection[int], *, study: Study | None = None) -> list[Overlap]:
    """Every contact of ``user`` with these patients outside of ``study``, and what is laid out elsewhere. 7 queries."""
    found: set[Overlap] = set()

    def add(codes: Iterable[str], reason: str) -> None:
        found.update(Overlap(code, reason) for code in codes)

    sorted_ = SortingDecision.objects.filter(seat__user=user, image__slide__patient__in=patients)
    add(sorted_.order_by().values_list("image__slide__patient__code", flat=True).distinct(), "sorted the images")
    settled = AdjudicationDecision.objects.filter(seat__user=user, image__slide__patient__in=patients)
    add(settled.order_by().values_list("image__slide__patient__code", flat=True).distinct(), "settled their labels")
    references = ReferenceDiagnosis.objects.filter(entered_by=user, patient__in=patients)
    add(references.order_by().values_list("patient__code", flat=True).distinct(), "entered the reference diagnosis")
    for code, kind in Exposure.objects.filter(user=user, patient__in=patients).values_list("patient__code", "kind"):
        add([code], _SEEN[Exposure.Kind(kind)])
    here = Q(study_case__study=study) if study else Q(pk=None)
    read = Reading.objects.filter(session__reader__user=user, study_case__patient__in=patients).exclude(here)
    add(read.order_by().values_list("study_case__patient__code", flat=True).distinct(), "read the patient elsewhere")
    laid_out = CaseIdentity.objects.filter(case__session__reader__user=user, study_case__patient__in=patients)
    opened = laid_out.filter(case__opened_at__isnull=False).exclude(here)
    add(opened.order_by().values_list("study_case__patient__code", flat=True).distinct(), "read the patient elsewhere")
    unfinished = [ReadingSession.State.PLANNED, ReadingSession.State.OPEN]
    due = laid_out.filter(case__opened_at=None, case__session__state__in=unfinished).exclude(here)
    codes = due.order_by().values_list("study_case__patient__code", flat=True).distinct()
    add(codes, "is to read the patient elsewhere")
    return sorted(found)


def trained_on(pipeline: PipelineVersion, patients: Collection[int], *, splits: Collection[str]) -> list[str]:
    """Codes of the patients, or of patients who share an image with them, whose images the pipeline was made from.

    Model cards name the dataset version by its name and version, its manifest's hash or its id; a card that names none
    (weights from elsewhere) can say nothing. What the start weights were trained on counts as well: of those versions
    the training side alone, of the models' own the ``splits``. 2 queries, and one for each generation of weights.
    """
    named = Q(pk__in=[])
    for model in pipeline.slots.values():
        data = model.card.get("dataset", {})
        if isinstance(sha := data.get("manifest_sha256"), str):
            named |= Q(dataset__manifest_sha256=sha)
        if isinstance(data.get("name"), str) and isinstance(data.get("version"), int):
            named |= Q(dataset__name=data["name"], dataset__version=data["version"])
        if is_uuid(own := str(data.get("dataset_version", ""))):
            named |= Q(dataset__public_id=own)
    behind = [name for name in datasets_behind(pipeline.slots.values()) if is_uuid(name)]
    started = Q(dataset__public_id__in=behind, split=DatasetEntry.Split.TRAIN)
    entries = DatasetEntry.objects.filter((named & Q(split__in=splits)) | started)
    same = HpfImage.objects.filter(
        Q(slide__patient__in=entries.values("patient")) | Q(content_sha256__in=entries.values("content_sha256")),
        slide__patient__in=patients,
    )
    return sorted(set(same.order_by().values_list("slide__patient__code", flat=True)))
