"""What the start page shows to each role, gathered from all apps."""

from __future__ import annotations

from typing import Any

from cases.models import Cohort, Slide
from cases.selectors import review_counts
from cases.selectors.sorting_queue import seats_of
from inference.models import PatientPrediction, PipelineVersion
from leukoweb.core.filters import recently
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action
from reader_study.selectors.reading import home_sessions
from reader_study.selectors.studies import study_list


def home_context(user: User) -> dict[str, Any]:
    """Newest slides and unfinished work for everybody; newest results only for those who may see results."""
    context: dict[str, Any] = {
        "n_cohorts": Cohort.objects.count(),
        "n_slides": Slide.objects.filter(patient__withdrawn_at=None).count(),
        "recent_slides": Slide.objects.filter(patient__withdrawn_at=None)
        .select_related("patient__cohort")
        .order_by("-id")[:8],
        "active_jobs": Job.objects.filter(status__in=Job.ACTIVE)[:8],
        "n_failed_jobs": Job.objects.filter(recently(7), status=Job.Status.FAILED).count(),
        "pipeline": PipelineVersion.objects.filter(is_active=True).first(),
    }
    if has_action(user, "sorting.sort"):
        context["sorting_seats"] = seats_of(user, open_only=True)[:4]
    if has_action(user, "studies.read"):
        context["reading_sessions"] = [s for s in home_sessions(user) if s.state in ("planned", "open")][:4]
    if has_action(user, "studies.manage"):
        context["studies"] = study_list(user)[:4]
    if has_action(user, "slides.review"):
        context["n_to_review"] = review_counts()[Slide.Review.WAITING]
    if has_action(user, "results.view"):
        # The diagnosis itself is not shown here: looking at a result is a deed that is recorded per patient.
        context["recent_results"] = (
            PatientPrediction.objects.filter(patient__withdrawn_at=None)
            .select_related("run", "slide__patient")
            .order_by("-id")[:8]
        )
    return context
