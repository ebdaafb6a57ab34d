"""Runs and their states. Nothing here tells a diagnosis: these lists are for everybody."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import OuterRef, Q, QuerySet, Subquery

from cases.models import Cohort, Slide
from inference.models import PatientPrediction, PipelineRun, PipelineVersion
from inference.selectors.images import images_sha256_by_slide
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action


class RunState(enum.Enum):
    """Where a slide stands with a pipeline."""

    CURRENT = "done"
    RUNNING = "waiting or running"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OLD_IMAGES = "needs rerun: the images changed"
    OLD_PIPELINE = "needs rerun: another pipeline made its result"
    NONE = "not run"


def runs_of_slide(slide: Slide) -> QuerySet[PipelineRun]:
    """Newest first, with what a list shows; two queries however many."""
    return PipelineRun.objects.filter(slide=slide).select_related(
        "pipeline", "pipeline__model_1", "pipeline__model_2", "pipeline__model_3", "pipeline__single_model",
        "job", "created_by", "prediction",
    )  # fmt: skip


def run_words(run: PipelineRun) -> str:
    """One word for the state of a run; ``done`` covers a run without a decision, which is a result too."""
    if hasattr(run, "prediction"):
        return "done"
    return run.job.status if run.job is not None else "lost"


def run_list() -> QuerySet[PipelineRun]:
    """Runs of patients who are not withdrawn, newest first."""
    return PipelineRun.objects.filter(slide__patient__withdrawn_at=None).select_related(
        "pipeline", "slide__patient__cohort", "job", "created_by", "prediction"
    )


def newest_results(*, slide_code: str = "", cohort_name: str = "") -> list[PipelineRun]:
    """The run of the newest result of each slide of one slide or cohort, by slide code; withdrawn patients left out.

    Results come in another order than their runs were asked for where one was tried again later.
    """
    done = (
        run_list()
        .exclude(prediction=None)
        .filter(**({"slide__code": slide_code} if slide_code else {"slide__patient__cohort__name": cohort_name}))
    )
    newest = PatientPrediction.objects.filter(slide=OuterRef("slide")).order_by("-id").values("run")[:1]
    return list(
        done.filter(pk=Subquery(newest))
        .select_related("pipeline__model_1", "pipeline__model_2", "pipeline__model_3", "pipeline__single_model")
        .order_by("slide__code")
    )


@dataclass(frozen=True)
class CohortProgress:
    """How far a cohort is with one pipeline, in slides (by their ids)."""

    pipeline: PipelineVersion | None
    states: dict[int, RunState]

    def count(self, *states: RunState) -> int:
        return sum(state in states for state in self.states.values())

    @property
    def n_slides(self) -> int:
        return len(self.states)

    @property
    def n_done(self) -> int:
        return self.count(RunState.CURRENT)

    @property
    def n_active(self) -> int:
        return self.count(RunState.RUNNING)

    @property
    def n_failed(self) -> int:
        return self.count(RunState.FAILED)

    @property
    def n_cancelled(self) -> int:
        return self.count(RunState.CANCELLED)

    @property
    def n_none(self) -> int:
        return self.count(RunState.NONE)

    @property
    def n_rerun(self) -> int:
        return self.count(RunState.OLD_IMAGES, RunState.OLD_PIPELINE)

    @property
    def n_open(self) -> int:
        """Slides that "run all" would queue."""
        return self.n_slides - self.n_done - self.n_active

    @property
    def has_results(self) -> bool:
        """Of whatever pipeline, as far as the states tell."""
        return self.n_done + self.n_rerun > 0

    @property
    def ask_again_s(self) -> int:
        """After how many seconds a page asks again: the answer costs in proportion to the slides."""
        return max(2, self.n_slides // 500)


def cohort_slide_states(cohort: Cohort, pipeline: PipelineVersion) -> dict[Slide, RunState]:
    """State of each slide of the cohort's patients who are not withdrawn, by code; five queries."""
    states = cohort_states(cohort, pipeline)
    slides = _slides(cohort).select_related("patient").order_by("code")
    return {slide: states.get(slide.pk, RunState.NONE) for slide in slides}


def _slides(cohort: Cohort) -> QuerySet[Slide]:
    return Slide.objects.filter(patient__cohort=cohort, patient__withdrawn_at=None)


def cohort_states(
    cohort: Cohort, pipeline: PipelineVersion, wanted: Collection[RunState] = tuple(RunState)
) -> dict[int, RunState]:
    """Slide id -> state, of the slides whose state is ``wanted``; three queries of plain values, because a page asks
    again and again while runs go on. Images are read only of slides whose images changed since their result."""
    return _states(_slides(cohort), PatientPrediction.objects.filter(slide__patient__cohort=cohort), pipeline, wanted)


def current_slides(pipeline: PipelineVersion) -> set[int]:
    """Slides of all cohorts whose result by this pipeline is of today's images: those that no rerun is needed for."""
    slides = Slide.objects.filter(patient__withdrawn_at=None)
    return set(_states(slides, PatientPrediction.objects.all(), pipeline, (RunState.CURRENT,)))


def states_of(slides: Collection[int], pipeline: PipelineVersion) -> dict[int, RunState]:
    """The same for a few slides, such as those of one page."""
    rows, predictions = Slide.objects.filter(pk__in=slides), PatientPrediction.objects.filter(slide__in=slides)
    return _states(rows, predictions, pipeline, tuple(RunState))


def _states(
    slides: QuerySet[Slide],
    predictions: QuerySet[PatientPrediction],
    pipeline: PipelineVersion,
    wanted: Collection[RunState],
) -> dict[int, RunState]:
    newest = PipelineRun.objects.filter(slide=OuterRef("pk"), pipeline=pipeline).order_by("-id")
    slides = slides.order_by().annotate(newest_job_status=Subquery(newest.values("job__status")[:1]))
    statuses: dict[int, str | None] = {}
    contents: dict[int, str] = {}
    for pk, status, images in slides.values_list("pk", "newest_job_status", "contents__images_sha256"):
        statuses[pk] = status
        if images is not None:
            contents[pk] = images
    done: dict[int, str] = {}
    by_others: set[int] = set()
    rows = predictions.order_by("id").values_list("slide_id", "run__pipeline_id", "images_sha256")
    for slide_id, pipeline_id, sha256 in rows:
        if pipeline_id == pipeline.pk:
            done[slide_id] = sha256
        else:
            by_others.add(slide_id)
    # Two answers are possible: that of a result from today's images, and the other one.
    other = {slide: _state(status, done.get(slide), None, slide in by_others) for slide, status in statuses.items()}
    open_ones = [
        slide for slide, state in other.items()
        if slide in done and state is not RunState.RUNNING and (RunState.CURRENT in wanted or state in wanted)
    ]  # fmt: skip
    contents |= images_sha256_by_slide(slide for slide in open_ones if slide not in contents)
    states = other | {
        slide: _state(statuses[slide], done[slide], contents.get(slide, ""), slide in by_others) for slide in open_ones
    }
    return {slide: state for slide, state in states.items() if state in wanted}


def cohort_progress(cohort: Cohort, pipeline: PipelineVersion | None) -> CohortProgress:
    """Without an active pipeline: every slide, none of them run."""
    if pipeline is None:
        return CohortProgress(None, dict.fromkeys(_slides(cohort).values_list("pk", flat=True), RunState.NONE))
    return CohortProgress(pipeline, cohort_states(cohort, pipeline))


def cancellable(actor: User, cohort: Cohort, pipeline: PipelineVersion) -> Q:
    """The jobs of this pipeline over this cohort that ``actor`` may cancel: all of them, or the own ones."""
    runs = PipelineRun.objects.filter(pipeline=pipeline, slide__patient__cohort=cohort)
    which = Q(pk__in=runs.values("job"))
    return which if has_action(actor, "jobs.cancel") else which & Q(created_by=actor)


def can_cancel(actor: User, cohort: Cohort, pipeline: PipelineVersion) -> bool:
    """Whether any of them waits; what is being computed ends with its result."""
    return Job.objects.filter(cancellable(actor, cohort, pipeline), status=Job.Status.QUEUED).exists()


def _state(status: str | None, predicted: str | None, now: str | None, by_others: bool) -> RunState:
    """The newest run's job decides while it is unfinished; then what the stored result was made from. ``now`` is the
    hash of today's images, empty if there are none, None if they are not those of the result."""
    if status in Job.ACTIVE:
        return RunState.RUNNING
    if predicted is not None and predicted == now:
        return RunState.CURRENT
    if status == Job.Status.FAILED:
        return RunState.FAILED
    if status == Job.Status.CANCELLED:
        return RunState.CANCELLED
    if predicted is not None:
        return RunState.OLD_IMAGES
    return RunState.OLD_PIPELINE if by_others else RunState.NONE
