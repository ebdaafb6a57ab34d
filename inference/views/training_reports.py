"""What became of a training: one model's validation, the candidate beside another pipeline, other thresholds."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from cases.curation_forms import ExcludeForm
from inference.models import PipelineVersion, Promotion, TrainingRun
from inference.pipeline import figures
from inference.pipeline.training_config import PARTS
from inference.selectors.comparisons import (
    cohorts_to_run_again,
    comparison_of,
    gate_chosen_on,
    known_to,
    report_of,
    worst_images,
)
from inference.selectors.registry import pipeline_active, pipeline_list
from inference.selectors.training import evaluation_job, promotions
from inference.services import promotion
from inference.services.training import diagnoses_seen, labels_seen
from inference.training_forms import PromoteForm, RollBackForm
from inference.views.training import _part, svg
from leukoweb.core.forms import data_of
from leukoweb.core.http import person, uuids, whole_number
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires


@require_safe
@requires("training.view")
def training_report(request: HttpRequest, run: uuid.UUID, part: str) -> HttpResponse:
    """Table 3 and Figs. 3 to 5 of one trained model, with the worst images first."""
    row = _part(run, part, "light")
    if not row.report:
        raise Http404
    images = worst_images(row.report)
    labels_seen(person(request), {image["row"].slide.patient for image in images})
    context = {"run": row.run, "part": row, "report": row.report, "title": PARTS[part][2], "worst": images,
               "exclude": ExcludeForm(auto_id="exclude_%s", initial=request.GET.dict()),
               "ticked": uuids(request.GET.getlist("images"))}  # fmt: skip
    return render(request, "inference/training_report.html", context)


@require_safe
@requires("training.view")
def training_report_figure(request: HttpRequest, run: uuid.UUID, part: str, theme: str) -> HttpResponse:
    row = _part(run, part, theme)
    if not row.report:
        raise Http404
    return svg(figures.report_svg(row.report, theme))


@require_safe
@requires("training.view")
def training_compare(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """The candidate against the active pipeline (``?against=`` another one) on the same frozen patients."""
    row = _finished(run)
    against = whole_number(request.GET.get("against"))
    other = get_object_or_404(pipeline_list(), pk=against) if against is not None else pipeline_active()
    comparison = comparison_of(row, other)
    diagnoses_seen(person(request), comparison.named if comparison is not None else ())
    context = {
        "run": row, "other": other, "active": pipeline_active(), "others": pipeline_list()[:30],
        "report": report_of(row.pipeline, row.dataset), "comparison": comparison,
        "other_report": report_of(other, row.dataset), "known": known_to(row.pipeline, row.dataset),
        "n_chosen_on": gate_chosen_on(row.pipeline, row.dataset),
        "job": evaluation_job(row.pipeline, row.dataset), "other_job": evaluation_job(other, row.dataset),
        "form": PromoteForm(initial={"instead_of": getattr(pipeline_active(), "pk", None)}),
    }  # fmt: skip
    return render(request, "inference/training_compare.html", context)


@require_safe
@requires("training.view")
def training_sweep_figure(request: HttpRequest, run: uuid.UUID, measure: str, theme: str) -> HttpResponse:
    row = _finished(run)
    evaluation = report_of(row.pipeline, row.dataset)
    if evaluation is None or measure not in ("count", "fraction") or theme not in figures.THEMES:
        raise Http404
    return svg(figures.sweep_svg(evaluation.report["sweep"], measure, theme))


@require_POST
@requires("training.run")
def training_evaluate(request: HttpRequest, run: uuid.UUID, pipeline: int) -> HttpResponse:
    """Queue the evaluation of a pipeline on the run's internal-validation patients."""
    row = _finished(run)
    chosen = get_object_or_404(PipelineVersion, pk=pipeline)
    ring(promotion.evaluate_request(actor=person(request), pipeline=chosen, dataset=row.dataset).pk)
    messages.info(request, f"The evaluation of {chosen} is queued; this page shows how far it is.")
    against = f"?against={chosen.pk}" if chosen != row.pipeline else ""
    return redirect(reverse("training_compare", args=[run]) + against)


@require_POST
@requires("training.run")
def training_rules(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """Choose a threshold of the sweep: a new version of the rules, in a new pipeline version."""
    row = _finished(run)
    pipeline = promotion.rules_choose(
        actor=person(request), run=row, measure=request.POST.get("measure", ""),
        at_least=request.POST.get("at_least", ""),
    )  # fmt: skip
    messages.success(request, f"{pipeline} has the chosen threshold. It is the candidate of this run now.")
    return redirect("training_compare", run=run)


@require_POST
@requires("models.manage")
def pipeline_promote(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a pipeline the active one, in place of the one that the person saw as active."""
    pipeline = get_object_or_404(PipelineVersion, pk=pk)
    promotion.pipeline_promote(actor=person(request), pipeline=pipeline, **data_of(PromoteForm(request.POST)))
    messages.success(request, f"New runs use {pipeline}. Earlier results stay as they are.")
    return redirect("promotion_list")


@require_safe
@requires("models.view")
def promotion_list(request: HttpRequest) -> HttpResponse:
    """What was live when, the way back, and which cohorts still have results of another pipeline."""
    active = pipeline_active()
    context = {"promotions": promotions()[:50], "active": active, "cohorts": cohorts_to_run_again(active),
               "form": RollBackForm()}  # fmt: skip
    return render(request, "inference/promotion_list.html", context)


@require_POST
@requires("models.manage")
def promotion_roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Promotion.objects.select_related("before"), pk=pk)
    pipeline = promotion.pipeline_roll_back(actor=person(request), promotion=row, **data_of(RollBackForm(request.POST)))
    messages.success(request, f"{pipeline} is active again.")
    return redirect("promotion_list")


def _finished(public_id: uuid.UUID) -> TrainingRun:
    rows = TrainingRun.objects.select_related("dataset", "job", "pipeline", "created_by")
    return get_object_or_404(rows.exclude(pipeline=None), public_id=public_id)
