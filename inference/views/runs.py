"""The run panels of the slide page and the cohort page. States only: a diagnosis is never in them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cases.models import Cohort, Slide
from inference.forms import CohortRunForm, RunForm
from inference.models import PipelineVersion
from inference.selectors.registry import pipeline_active
from inference.selectors.runs import can_cancel, cohort_progress, run_words, runs_of_slide
from inference.services import runs as services
from inference.services.runs import cohort_run_request, job_ids, run_request
from leukoweb.core.blindfold import hidden_patients
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring_all
from leukoweb.core.permissions import has_action, requires
from leukoweb.core.words import counted


@require_safe
@requires("slides.view")
def slide_runs(request: HttpRequest, pk: int) -> HttpResponse:
    return _slide_panel(request, get_object_or_404(Slide.objects.select_related("patient"), pk=pk))


@require_POST
@requires("inference.run")
def run_create(request: HttpRequest, pk: int) -> HttpResponse:
    slide = get_object_or_404(Slide.objects.select_related("patient"), pk=pk)
    form, error = RunForm(request.POST), None
    try:
        if not form.is_valid():
            raise DomainError("This pipeline or mode does not exist (any more).", hint="Choose another.")
        run = run_request(actor=person(request), slide=slide, **form.cleaned_data)
        ring_all(job_ids([run]))
    except DomainError as caught:
        error = caught
    if request.headers.get("HX-Request"):
        return _slide_panel(request, slide, error)
    if error is not None:
        raise error
    return (
        redirect("result_detail", run=run.public_id)
        if has_action(person(request), "results.view")
        else redirect("job_list")
    )


@require_safe
@requires("slides.view")
def cohort_runs(request: HttpRequest, pk: int) -> HttpResponse:
    return _cohort_panel(request, get_object_or_404(Cohort, pk=pk))


@require_POST
@requires("inference.run")
def cohort_run_create(request: HttpRequest, pk: int) -> HttpResponse:
    cohort = get_object_or_404(Cohort, pk=pk)
    form, error = CohortRunForm(request.POST), None
    try:
        if not form.is_valid():
            raise DomainError("This pipeline or mode does not exist (any more).", hint="Choose another.")
        ring_all(job_ids(cohort_run_request(actor=person(request), cohort=cohort, **form.cleaned_data)))
    except DomainError as caught:
        error = caught
    if request.headers.get("HX-Request"):
        return _cohort_panel(request, cohort, error)
    if error is not None:
        raise error
    return redirect("job_list")


@require_POST
@requires("inference.run")
def cohort_run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    cohort = get_object_or_404(Cohort, pk=pk)
    n = services.cohort_run_cancel(actor=person(request), cohort=cohort)
    ours = "" if has_action(person(request), "jobs.cancel") else " that you asked for"
    note = f"{counted(n, 'waiting run')}{ours} {'was' if n == 1 else 'were'} cancelled. What is being computed ends."
    if request.headers.get("HX-Request"):
        return _cohort_panel(request, cohort, note=note)
    messages.info(request, note)
    return redirect("job_list")


def _slide_panel(request: HttpRequest, slide: Slide, error: DomainError | None = None) -> HttpResponse:
    runs = list(runs_of_slide(slide)[:20])
    context = {
        "slide": slide,
        "runs": [(run, run_words(run)) for run in runs],
        "active_jobs": [run.job for run in runs if run.job is not None and run.job.is_active],
        "pipeline": pipeline_active(),
        "pipelines": PipelineVersion.objects.order_by("-is_active", "-id"),
        "n_images": slide.images.count(),
        "error": error,
    }
    return render(request, "inference/_slide_runs.html", context)


def _cohort_panel(
    request: HttpRequest, cohort: Cohort, error: DomainError | None = None, note: str = ""
) -> HttpResponse:
    pipeline = pipeline_active()
    context = {
        "cohort": cohort,
        "progress": cohort_progress(cohort, pipeline),
        "can_cancel": pipeline is not None and can_cancel(person(request), cohort, pipeline),
        "error": error,
        "note": note,
        "blinded": bool(hidden_patients()),
    }
    return render(request, "inference/_cohort_runs.html", context)
