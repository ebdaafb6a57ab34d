"""Training: runs, a new one, and one that is followed; nothing here needs the page to stay open."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inference.filters import TrainingFilter
from inference.models import TrainingPart, TrainingRun
from inference.pipeline import figures
from inference.pipeline.training_config import PARTS, PRESETS
from inference.selectors.training import parts_of, run_progress, training_runs, withdrawn_since
from inference.services import training
from inference.training_forms import TrainingForm
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, query_kept
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires

NOTES_SHOWN = 40


@require_safe
@requires("training.view")
def training_list(request: HttpRequest) -> HttpResponse:
    narrowed = TrainingFilter(request.GET, queryset=training_runs())
    context = {
        "page": Paginator(narrowed.qs, 25).get_page(request.GET.get("page")),
        "filter": narrowed,
        "narrowed": any(narrowed.data.get(name) for name in narrowed.filters),
        "query": query_kept(request, narrowed.filters),
    }
    return render(request, "inference/training_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("training.run")
def training_create(request: HttpRequest) -> HttpResponse:
    """The form with a recipe's values; another recipe leaves dataset, models and name as they were chosen."""
    preset = request.GET.get("preset", "paper")
    chosen = {"dataset": request.POST.get("dataset") or request.GET.get("dataset"), "name": request.POST.get("name"),
              "models": request.POST.getlist("models")}  # fmt: skip
    form = TrainingForm(None if "recipe" in request.POST else request.POST or None,
                        preset=preset if preset in PRESETS else "paper", initial=chosen)  # fmt: skip
    if form.is_valid():
        try:
            run, job = training.training_request(
                actor=person(request), dataset=form.cleaned_data["dataset"], config=form.config,
                name=form.cleaned_data["name"], estimate="estimate" in request.POST,
            )  # fmt: skip
            ring(job.pk)
        except DomainError as error:
            form.refuse(error)
        else:
            return redirect("training_detail", run=run.public_id)
    context = {"form": form, "presets": PRESETS, "preset": form.preset}
    return render(request, "inference/training_create.html", context, status=400 if form.errors else 200)


@require_safe
@requires("training.view")
def training_detail(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """The whole page, or the live part of it when htmx asks."""
    row = _run(run)
    name = "inference/_training_live.html" if request.headers.get("HX-Request") else "inference/training_detail.html"
    parts = list(parts_of(row))
    context = {
        "run": row, "parts": parts, "plan": row.plan, "progress": run_progress(row), "titles": PARTS,
        "notes": list(row.notes.order_by("-id")[:NOTES_SHOWN]), "withdrawn": withdrawn_since(row),
    }  # fmt: skip
    return render(request, name, context)


@require_POST
@requires("training.run")
def training_begin(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """Start a draft, or measure how long it would take."""
    begin = training.estimate_request if "estimate" in request.POST else training.training_start
    ring(begin(actor=person(request), run=_run(run)).pk)
    return redirect("training_detail", run=run)


@require_POST
@requires("training.run")
def training_cancel(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    row = _run(run)
    if row.job is None:
        raise Http404
    ledger.job_cancel(actor=person(request), job=row.job)
    messages.info(request, f"{row} stops at its next step. Finished epochs stay; it can be continued.")
    return redirect("training_detail", run=run)


@require_POST
@requires("training.run")
def training_continue(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    row = _run(run)
    ring(training.training_continue(actor=person(request), run=row).pk)
    messages.info(request, f"{row} is queued again and goes on after its last finished epoch.")
    return redirect("training_detail", run=run)


@require_safe
@requires("training.view")
def training_curves(request: HttpRequest, run: uuid.UUID, part: str, theme: str) -> HttpResponse:
    row = _part(run, part, theme)
    epochs = list(row.epochs.order_by("number").values("number", "loss", "macro_f1", "class_f1"))
    if not epochs:
        raise Http404
    classes = row.run.dataset.taxonomy.maps[PARTS[part][1]]["classes"]
    return svg(figures.curves_svg(epochs, classes, row.best_epoch, theme))


def svg(content: bytes) -> HttpResponse:
    response = HttpResponse(content, content_type="image/svg+xml")
    response["Cache-Control"] = "private, no-cache"
    return response


def _run(public_id: uuid.UUID) -> TrainingRun:
    rows = TrainingRun.objects.select_related("dataset", "job", "estimate_job", "pipeline", "created_by")
    return get_object_or_404(rows, public_id=public_id)


def _part(run: uuid.UUID, part: str, theme: str) -> TrainingPart:
    if theme not in figures.THEMES:
        raise Http404
    rows = TrainingPart.objects.select_related("run__dataset__taxonomy", "model")
    return get_object_or_404(rows, run__public_id=run, part=part)
