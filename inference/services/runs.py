"""Asking for pipeline runs. The caller rings the bell of each run's job."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from cases.models import Cohort, Slide
from inference.models import PipelineRun, PipelineVersion
from inference.selectors.registry import pipeline_active
from inference.selectors.runs import RunState, cancellable, cohort_slide_states
from inference.services.errors import ModeUnknown, PatientWithdrawn, PipelineMissing
from leukoweb.core.audit import audit_record
from leukoweb.core.jobs.ledger import job_create, waiting_cancel
from leukoweb.core.models import User

KIND = "inference.run"


@transaction.atomic
def run_request(
    *, actor: User | None, slide: Slide, pipeline: PipelineVersion | None = None, mode: str = "full"
) -> PipelineRun:
    """Queue one pipeline (default: the active one) over one slide.

    While an equal run waits or works, that run is returned and nothing new is made.

    Raises
    ------
    PipelineMissing, PatientWithdrawn, ModeUnknown
    """
    pipeline = pipeline_chosen(pipeline)
    run, created = _queue(actor, slide, pipeline, _mode(mode))
    if created:
        audit_record(
            actor=actor, action="run.request", target=f"slide:{slide.pk}",
            data={"run": str(run.public_id), "pipeline": str(pipeline), "mode": mode},
        )  # fmt: skip
    return run


@transaction.atomic
def cohort_run_request(
    *,
    actor: User | None,
    cohort: Cohort,
    pipeline: PipelineVersion | None = None,
    mode: str = "full",
    everything: bool = False,
) -> list[PipelineRun]:
    """Queue the slides of a cohort that this pipeline has no current result for; ``everything``: all of them.

    A result is current when it was made by this pipeline from the images that the slide has now.
    """
    pipeline, mode = pipeline_chosen(pipeline), _mode(mode)
    states = cohort_slide_states(cohort, pipeline)
    wanted = [slide for slide, state in states.items() if everything or state is not RunState.CURRENT]
    runs = [_queue(actor, slide, pipeline, mode) for slide in wanted]
    n_new = sum(created for _, created in runs)
    if n_new:
        audit_record(
            actor=actor, action="run.request_cohort", target=f"cohort:{cohort.pk}",
            data={"pipeline": str(pipeline), "mode": mode, "n_slides": len(states), "n_queued": n_new},
        )  # fmt: skip
    return [run for run, _ in runs]


@transaction.atomic
def cohort_run_cancel(*, actor: User, cohort: Cohort, pipeline: PipelineVersion | None = None) -> int:
    """Cancel the runs of this pipeline over this cohort that wait; those being computed end with their result.

    Who may not cancel the jobs of others cancels the own ones. Returns how many were cancelled.
    """
    pipeline = pipeline_chosen(pipeline)
    n_cancelled = waiting_cancel(cancellable(actor, cohort, pipeline))
    if n_cancelled:
        audit_record(
            actor=actor, action="run.cancel_cohort", target=f"cohort:{cohort.pk}",
            data={"pipeline": str(pipeline), "n_cancelled": n_cancelled},
        )  # fmt: skip
    return n_cancelled


def job_ids(runs: Iterable[PipelineRun]) -> list[str]:
    """The jobs whose bells the caller rings."""
    return [str(run.job_id) for run in runs if run.job_id]


def pipeline_chosen(pipeline: PipelineVersion | None) -> PipelineVersion:
    """It, or the active one; PipelineMissing where there is none."""
    chosen = pipeline or pipeline_active()
    if chosen is None:
        raise PipelineMissing(
            "No pipeline is active, so nothing can be run.",
            hint="An admin imports or activates one on the page Models & pipelines.",
        )
    return chosen


def _mode(mode: str) -> str:
    if mode not in PipelineRun.Mode.values:
        raise ModeUnknown(
            f"There is no mode {mode!r}.", hint=f"Choose {' or '.join(PipelineRun.Mode.values)}.", field="mode"
        )
    return mode


def _queue(actor: User | None, slide: Slide, pipeline: PipelineVersion, mode: str) -> tuple[PipelineRun, bool]:
    if slide.patient.withdrawn_at is not None:
        raise PatientWithdrawn("This patient was withdrawn; the images are gone.", field="slide")
    job = job_create(
        kind=KIND, title=f"{pipeline} on slide {slide.code}", actor=actor, key=f"run:{slide.pk}:{pipeline.pk}:{mode}",
        payload={"slide": slide.pk, "pipeline": pipeline.pk, "mode": mode}, total_units=slide.images.count(),
    )  # fmt: skip
    return PipelineRun.objects.get_or_create(
        job=job, defaults={"pipeline": pipeline, "slide": slide, "mode": mode, "created_by": actor}
    )
