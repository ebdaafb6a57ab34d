"""Where this app's jobs lead (``core.jobs.links``). The blindfold's managers answer, so a hidden slide has no link."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from django.urls import reverse

from cases.models import Cohort, Slide, UploadItem
from leukoweb.core.jobs.links import JobLink
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action


def slide_ids_alive(ids: Iterable[int]) -> set[int]:
    """Those that this person may see and whose patient was not withdrawn. 1 query."""
    return set(Slide.objects.filter(pk__in=set(ids), patient__withdrawn_at=None).values_list("pk", flat=True))


def text_links(jobs: Sequence[Job], user: User) -> Mapping[uuid.UUID, JobLink]:
    """The search for text in a slide is part of its review."""
    page = "slide_review" if has_action(user, "slides.review") else "slide_detail"
    words = "Open the review" if page == "slide_review" else "Open the slide"
    slides = {job.pk: job.payload.get("slide") for job in jobs}
    alive = slide_ids_alive(slides.values())
    return {pk: JobLink(words, reverse(page, args=[slide])) for pk, slide in slides.items() if slide in alive}


def archive_links(jobs: Sequence[Job], user: User) -> Mapping[uuid.UUID, JobLink]:
    """The slide that takes everything, otherwise the cohort."""
    items = {job.pk: job.payload.get("item") for job in jobs}
    found = UploadItem.objects.filter(pk__in=items.values()).values_list("pk", "batch__slide", "batch__cohort")
    places = {item: (slide, cohort) for item, slide, cohort in found}
    alive = slide_ids_alive(slide for slide, _ in places.values() if slide)
    return {
        pk: slide_link(places[item][0]) if places[item][0] in alive else _cohort(places[item][1])
        for pk, item in items.items()
        if item in places
    }


def slide_link(pk: int) -> JobLink:
    return JobLink("Open the slide", reverse("slide_detail", args=[pk]))


def dataset_links(jobs: Sequence[Job], user: User) -> Mapping[uuid.UUID, JobLink]:
    names = {job.pk: job.payload.get("cohort") for job in jobs}
    ids = dict(Cohort.objects.filter(name__in=names.values()).values_list("name", "pk"))
    return {pk: _cohort(ids[name]) for pk, name in names.items() if name in ids}


def measure_links(jobs: Sequence[Job], user: User) -> Mapping[uuid.UUID, JobLink]:
    if not has_action(user, "curation.manage"):
        return {}
    return {job.pk: JobLink("Open the curation", reverse("curation_home")) for job in jobs}


def _cohort(pk: int) -> JobLink:
    return JobLink("Open the cohort", reverse("cohort_detail", args=[pk]))
