"""Reading patients, slides and images: who is shown, in how many queries. Withdrawn patients show no pixels."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TypeVar

from django.db.models import Count, Exists, F, IntegerField, Model, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from cases.models import Cohort, HpfImage, Patient, ReferenceDiagnosis, Slide, UploadBatch, UploadItem
from leukoweb.core.columns import count_of
from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User

Row = TypeVar("Row", bound=Model)


def cohort_list() -> QuerySet[Cohort]:
    """All cohorts with ``n_patients``, ``n_slides`` and ``n_images`` of patients who were not withdrawn. 1 query."""
    slides = Slide.objects.filter(patient__withdrawn_at=None, patient__cohort=OuterRef("pk"))
    # Slide by slide, each along the index; as one count every image is joined with its slide and patient.
    per_slide = slides.order_by().annotate(n=count_of(HpfImage.objects.filter(slide=OuterRef("pk"))))
    n_images = per_slide.values("patient__cohort").annotate(total=Sum("n")).values("total")
    return Cohort.objects.annotate(
        n_patients=count_of(Patient.objects.filter(withdrawn_at=None, cohort=OuterRef("pk"))),
        n_slides=count_of(slides),
        n_images=Coalesce(Subquery(n_images, output_field=IntegerField()), 0),
    )


def cohort_get(pk: int) -> Cohort:
    return _one(cohort_list().filter(pk=pk), "cohort")


def patient_list(cohort: Cohort) -> QuerySet[Patient]:
    """Patients of a cohort, withdrawn ones included, with ``n_slides`` and ``n_images``. 1 query."""
    images = HpfImage.objects.filter(slide__patient=OuterRef("pk"), slide__patient__withdrawn_at=None)
    return Patient.objects.filter(cohort=cohort).annotate(
        n_slides=count_of(Slide.objects.filter(patient=OuterRef("pk"))),
        n_images=count_of(images),
    )


def patient_get(pk: int) -> Patient:
    return _one(Patient.objects.select_related("cohort").filter(pk=pk), "patient")


def slide_list(*, cohort: Cohort | None = None, patient: Patient | None = None) -> QuerySet[Slide]:
    """Slides of live patients with device, patient, ``n_images`` and ``has_duplicates`` (pixels elsewhere too)."""
    images = HpfImage.objects.filter(slide=OuterRef("pk"))
    slides = Slide.objects.filter(patient__withdrawn_at=None).select_related("patient", "device")
    if cohort is not None:
        slides = slides.filter(patient__cohort=cohort)
    if patient is not None:
        slides = slides.filter(patient=patient)
    return slides.annotate(n_images=count_of(images))


def slide_get(pk: int) -> Slide:
    slides = Slide.objects.select_related("patient__cohort", "device", "created_by", "reviewed_by")
    return _one(slides.filter(pk=pk), "slide")


def image_list(slide: Slide, *, names: bool = False) -> QuerySet[HpfImage]:
    """Images of a slide in capture order; none of a withdrawn patient. ``names`` joins the original names."""
    images = slide.images.filter(slide__patient__withdrawn_at=None).order_by("position", "id")
    return images.select_related("original_name") if names else images


def image_get(public_id: uuid.UUID) -> HpfImage:
    images = HpfImage.objects.filter(public_id=public_id, slide__patient__withdrawn_at=None)
    return _one(images.select_related("slide__patient__cohort", "slide__device"), "image")


def duplicates_of(slide: Slide) -> dict[int, list[HpfImage]]:
    """Image id -> the images of other slides with the same pixels, of live patients. 1 query."""
    here = dict(image_list(slide).values_list("content_sha256", "pk"))
    others = (
        HpfImage.objects.filter(
            content_sha256__in=slide.images.values("content_sha256"), slide__patient__withdrawn_at=None
        )
        .exclude(slide=slide)
        .select_related("slide__patient")
        .order_by("slide__code", "position")
    )
    found: dict[int, list[HpfImage]] = defaultdict(list)
    for other in others:
        if other.content_sha256 in here:
            found[here[other.content_sha256]].append(other)
    return dict(found)


def reference_patients() -> QuerySet[Patient]:
    """Live patients with ``n_references``: whether there is one, never which. 1 query."""
    return (
        Patient.objects.filter(withdrawn_at=None)
        .select_related("cohort")
        .annotate(n_references=count_of(ReferenceDiagnosis.objects.filter(patient=OuterRef("pk"))))
    )


def patients_without_reference(cohort_id: int) -> list[str]:
    """Codes of a cohort's live patients who have none yet. 1 query."""
    waiting = Patient.objects.filter(cohort_id=cohort_id, withdrawn_at=None, references=None)
    return list(waiting.order_by("code").values_list("code", flat=True))


def reference_history(patient: Patient) -> QuerySet[ReferenceDiagnosis]:
    """The newest first. Record the exposure before showing it."""
    return patient.references.select_related("entered_by").order_by("-id")


def open_uploads(user: User) -> QuerySet[UploadBatch]:
    """Uploads of this user that miss files or are being unpacked, with counts by state. 1 query."""
    unfinished = UploadItem.objects.filter(batch=OuterRef("pk"), state__in=UploadItem.UNFINISHED)
    return (
        UploadBatch.objects.filter(created_by=user, closed_at=None)
        .filter(Exists(unfinished))
        .select_related("cohort", "slide")
        .annotate(
            n_files=Count("items", filter=Q(items__is_archive=False)),
            n_done=Count("items", filter=Q(items__is_archive=False) & ~Q(items__state__in=UploadItem.UNFINISHED)),
        )
    )


def upload_counts(batch: UploadBatch) -> dict[str, int]:
    """Files by state, archives not counted."""
    rows = batch.items.filter(is_archive=False).order_by().values("state").annotate(n=Count("pk"))
    return dict.fromkeys(UploadItem.State.values, 0) | {row["state"]: row["n"] for row in rows}


def upload_slides(batch: UploadBatch) -> QuerySet[Slide]:
    """The slides that an upload puts something into."""
    slides = Slide.objects.filter(pk__in=batch.items.values("slide")).select_related("patient")
    return slides.annotate(patient_code=F("patient__code")).order_by("patient__code", "code")


def _one(rows: QuerySet[Row], what: str) -> Row:
    row = rows.first()
    if row is None:
        raise NotFound(f"There is no such {what} (any more).", hint="Go back to the list.")
    return row
