"""Sorting for staff: making and closing tasks, how far the sorters agree, what they disagree on, the taxonomy."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases.agreement import agreement_report
from cases.consensus import OPEN
from cases.forms_sorting import ReasonForm, SortingTaskForm, TaxonomyForm
from cases.models import Cohort, SortingSeat, Taxonomy
from cases.selectors import sorting_agreement as agreement
from cases.selectors import sorting_queue
from cases.selectors.sorting import rule_of
from cases.services.exposures import exposures_record
from cases.services.sorting_tasks import seat_stop, task_close, task_create
from cases.services.taxonomies import taxonomy_ensure, taxonomy_version_create
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, uuids, whole_number
from leukoweb.core.permissions import requires

PER_PAGE = 24


@require_safe
@requires("sorting.agreement")
def sorting_task(request: HttpRequest, task_id: uuid.UUID) -> HttpResponse:
    """How far everybody is, and what the decisions come to so far."""
    task = sorting_queue.task_get(task_id)
    disputed, consensus = agreement.dispute_ids(task)
    context = {
        "task": task,
        "seats": sorting_queue.seats_settling(task, set(disputed)),
        "rule": rule_of(task),
        "counts": agreement.consensus_counts(task, consensus),
        "n_images": len(consensus),
        "n_disputed": len(disputed),
        "n_unsettled": sum(not consensus[pk].settled for pk in disputed),
    }
    return render(request, "cases/sorting_task.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("sorting.manage")
def sorting_task_create(request: HttpRequest) -> HttpResponse:
    chosen = request.GET.get("images", "")
    cohorts = Cohort.objects.filter(patients__slides__images__public_id__in=uuids(chosen.split(","))).distinct()
    initial = {"taxonomy": taxonomy_ensure(), "images": chosen, "cohorts": cohorts}
    form = SortingTaskForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            task = task_create(actor=person(request), **form.request())
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Task {task} was made; its sorters find it on their start page.")
            return redirect("sorting_task", task.public_id)
    context = {"form": form, "n_chosen": len(uuids((form["images"].value() or "").split(",")))}
    return render(request, "cases/sorting_task_form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("sorting.manage")
def sorting_task_close(request: HttpRequest, task_id: uuid.UUID) -> HttpResponse:
    """Asks with the numbers of what would stay open; closes on POST."""
    task = sorting_queue.task_get(task_id)
    if request.method == "POST":
        task = task_close(actor=person(request), task=task)
        messages.success(request, f"Task {task} is closed. What was decided is kept.")
    if task.closed_at is not None:
        return redirect("sorting_task", task_id)
    disputed, consensus = agreement.dispute_ids(task)
    context = {
        "task": task, "n_images": len(consensus), "n_unsettled": sum(not consensus[pk].settled for pk in disputed),
        "n_open": sum(one.verdict == OPEN for one in consensus.values()),
        "waiting": sorting_queue.seats_not_through(task),
    }  # fmt: skip
    return render(request, "cases/sorting_task_close.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("sorting.manage")
def sorting_seat_stop(request: HttpRequest, task_id: uuid.UUID, seat_id: int) -> HttpResponse:
    task = sorting_queue.task_get(task_id)
    seat = get_object_or_404(SortingSeat.objects.select_related("user"), pk=seat_id, task=task)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            seat_stop(actor=person(request), seat=seat, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"{seat.user} has left the task.")
            return redirect("sorting_task", task_id)
    context = {"form": form, "task": task, "seat": seat}
    return render(request, "cases/sorting_seat_stop.html", context, status=400 if form.errors else 200)


@require_safe
@requires("sorting.agreement")
def sorting_agreement(request: HttpRequest, task_id: uuid.UUID) -> HttpResponse:
    """Kappa and its relatives; every number from the statistics library."""
    task = sorting_queue.task_get(task_id)
    table = agreement.sorted_table(task)
    labels_only = request.GET.get("only") == "labels"
    pair = _pair(request.GET.get("pair", ""))
    report = agreement_report(table.labels_only() if labels_only else table, pair=pair)
    short = _short_names(task, report.classes)
    context: dict[str, Any] = {
        "task": task, "report": report, "labels_only": labels_only, "short": short,
        "picked": pair is not None and report.chosen is not None,
    }  # fmt: skip
    if report.chosen:
        found = report.chosen.found
        context["by_class"] = list(zip(short, found.by_class, found.table.sum(1), found.table.sum(0), strict=True))
        context["matrix"] = [
            (name, [(n, row == column) for column, n in enumerate(counts)])
            for row, (name, counts) in enumerate(zip(short, found.table.tolist(), strict=True))
        ]
    return render(request, "cases/sorting_agreement.html", context)


def _pair(text: str) -> tuple[int, int] | None:
    first, _, second = text.partition("-")
    one, other = whole_number(first), whole_number(second)
    return None if one is None or other is None else (one, other)


def _short_names(task: Any, classes: tuple[str, ...]) -> list[str]:
    codes = {label["name"]: label["code"] for label in task.taxonomy.labels}
    return [codes.get(name, {"CANNOT_CLASSIFY": "?", "EXCLUDED": "OUT"}.get(name, name)) for name in classes]


@require_safe
@requires("sorting.agreement")
def sorting_disputes(request: HttpRequest, task_id: uuid.UUID) -> HttpResponse:
    """Every image on which the sorters disagree, with what each said and how it was settled."""
    task = sorting_queue.task_get(task_id)
    ids, consensus = agreement.dispute_ids(task)
    open_only = request.GET.get("state") == "open"
    if open_only:
        ids = [pk for pk in ids if not consensus[pk].settled]
    page = Paginator(ids, PER_PAGE).get_page(request.GET.get("page"))
    disputes = agreement.dispute_page(task, list(page.object_list), consensus)
    exposures_record(person(request), {one.image.slide.patient_id for one in disputes}, "label")
    titles = {label["name"]: label["title"] for label in task.taxonomy.labels}
    context = {"task": task, "page": page, "disputes": disputes, "titles": titles, "open_only": open_only,
               "query": "state=open" if open_only else ""}  # fmt: skip
    return render(request, "cases/sorting_disputes.html", context)


@require_safe
@requires("sorting.manage")
def taxonomy_list(request: HttpRequest) -> HttpResponse:
    taxonomy_ensure()
    taxonomies = Taxonomy.objects.select_related("created_by").order_by("name", "-version")
    return render(request, "cases/taxonomy_list.html", {"taxonomies": taxonomies})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("sorting.manage")
def taxonomy_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """A new version from an earlier one; the earlier one stays as it is."""
    taxonomy = get_object_or_404(Taxonomy, pk=pk)
    form = TaxonomyForm(taxonomy, request.POST if request.method == "POST" else None)
    error: DomainError | None = None
    if request.method == "POST":
        try:
            form.require_text()
            made = taxonomy_version_create(
                actor=person(request), name=request.POST.get("name", taxonomy.name), labels=form.labels(),
                maps=form.maps(), note=form.note,
            )  # fmt: skip
        except DomainError as refused:
            error = refused
        else:
            messages.success(request, f"Taxonomy {made} was made. New sorting tasks can use it.")
            return redirect("taxonomy_list")
    context = {"taxonomy": taxonomy, "form": form, "error": error, "name": request.POST.get("name", taxonomy.name)}
    return render(request, "cases/taxonomy_edit.html", context, status=400 if error else 200)
