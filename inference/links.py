"""Where this app's jobs lead (``core.jobs.links``)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from django.urls import reverse

from cases.links import slide_link
from cases.models import HpfImage
from inference.models import ModelVersion, PipelineRun, PipelineVersion, TrainingRun
from leukoweb.core.jobs.links import JobLink
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action

Links = Mapping[uuid.UUID, JobLink]


def run_links(jobs: Sequence[Job], user: User) -> Links:
    """The result for those who may see results, once it is there; else the slide. 1 query."""
    runs = PipelineRun.objects.filter(job__in=[job.pk for job in jobs], slide__patient__withdrawn_at=None)
    sees = has_action(user, "results.view")
    return {
        job: JobLink("Open the result", reverse("result_detail", args=[run])) if sees and result else slide_link(slide)
        for job, run, slide, result in runs.values_list("job", "public_id", "slide", "prediction")
        if job is not None
    }


def map_links(jobs: Sequence[Job], user: User) -> Links:
    """A map belongs to an image's content; its slide is the newest that has it. 1 query."""
    contents = {job.pk: job.payload.get("image") for job in jobs}
    rows = HpfImage.objects.filter(content_sha256__in=contents.values(), slide__patient__withdrawn_at=None)
    slides = dict(rows.order_by("pk").values_list("content_sha256", "slide"))
    return {pk: slide_link(slides[content]) for pk, content in contents.items() if content in slides}


def sheet_links(jobs: Sequence[Job], user: User) -> Links:
    """The sheet of a run's saliency maps. 1 query."""
    if not has_action(user, "results.view"):
        return {}
    wanted = {job.pk: job.payload.get("run") for job in jobs}
    rows = PipelineRun.objects.filter(pk__in=wanted.values(), slide__patient__withdrawn_at=None)
    found = dict(rows.values_list("pk", "public_id"))
    return {
        pk: JobLink("Open the maps", reverse("result_saliency_sheet", args=[found[run]]))
        for pk, run in wanted.items()
        if run in found
    }


def training_links(jobs: Sequence[Job], user: User) -> Links:
    """1 query."""
    if not has_action(user, "training.view"):
        return {}
    wanted = {job.pk: job.payload.get("run") for job in jobs}
    found = dict(TrainingRun.objects.filter(pk__in=wanted.values()).values_list("pk", "public_id"))
    return {
        pk: JobLink("Open the training", reverse("training_detail", args=[found[run]]))
        for pk, run in wanted.items()
        if run in found
    }


def evaluation_links(jobs: Sequence[Job], user: User) -> Links:
    return _registry_links(jobs, user, PipelineVersion, "pipeline")


def calibration_links(jobs: Sequence[Job], user: User) -> Links:
    return _registry_links(jobs, user, ModelVersion, "model")


def _registry_links(
    jobs: Sequence[Job], user: User, table: type[PipelineVersion] | type[ModelVersion], what: str
) -> Links:
    if not has_action(user, "models.view"):
        return {}
    wanted = {job.pk: job.payload.get(what) for job in jobs}
    found = set(table._default_manager.filter(pk__in=wanted.values()).values_list("pk", flat=True))
    return {
        pk: JobLink(f"Open the {what}", reverse(f"{what}_detail", args=[row]))
        for pk, row in wanted.items()
        if row in found
    }
