"""Dataset versions: the list, a new one with its preview, one version and what is made of it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases.dataset_diff import KINDS, changed_choices, diff, rules_in_words, transitions
from cases.dataset_forms import DatasetForm, DatasetImportForm
from cases.figures import drift_svg, flow_svg
from cases.models import Cohort, DatasetVersion, SortingTask
from cases.selectors import comparisons
from cases.selectors import datasets as selectors
from cases.selectors.dataset_plan import Plan, dataset_plan
from cases.services.dataset_exports import LAYOUTS, dataset_export, export_name, labels_seen
from cases.services.dataset_imports import Target
from cases.services.dataset_uploads import dataset_receive
from cases.services.datasets import CannotFreeze, NotAsShown, dataset_freeze
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.http import person, whole_number, zip_response
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires
from leukoweb.core.words import counted

PER_PAGE = 50


@require_safe
@requires("datasets.view")
def dataset_list(request: HttpRequest) -> HttpResponse:
    page = Paginator(selectors.dataset_list(), PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "ready": SortingTask.objects.exists()}
    return render(request, "cases/dataset_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("datasets.freeze")
def dataset_create(request: HttpRequest) -> HttpResponse:
    """The form; a POST shows what would be frozen, or freezes it if that is what was shown."""
    form = DatasetForm(request.POST or None)
    plan, changed = None, None
    if request.method == "POST" and form.is_valid():
        name, shown = form.cleaned_data["name"], request.POST.get("shown", "")
        try:
            choices = form.choices()
            if "freeze" in request.POST:
                version = dataset_freeze(actor=person(request), name=name, choices=choices, shown=shown)
                messages.success(request, f"{version} is frozen.")
                return redirect("dataset_detail", version.public_id)
            plan = dataset_plan(choices)
        except NotAsShown as error:
            plan, changed = error.plan, error
        except DomainError as error:
            add_errors(form, error)
            plan = error.plan if isinstance(error, CannotFreeze) else None
    context = {"form": form, "tasks": SortingTask.objects.exists(), "changed": changed, **_previewed(form, plan)}
    status = 409 if changed else 400 if form.errors else 200
    return render(request, "cases/dataset_form.html", context, status=status)


def _previewed(form: DatasetForm, plan: Plan | None) -> dict[str, Any]:
    if plan is None:
        return {"plan": None}
    return {
        "plan": plan, "counts": counts_table(plan.counts), "flow": plan.flow, "checks": plan.checks,
        "shown": plan.fingerprint(form.cleaned_data["name"]),
    }  # fmt: skip


def counts_table(counts: dict[str, Any]) -> list[tuple[str, str, list[int], int]]:
    """(part, images or patients, cells in class order, total) for a template."""
    titles = {"train": "Training", "internal": "Internal validation"}
    return [
        (title, what.capitalize(), cells := [counts[what][part][name] for name in counts["classes"]], sum(cells))
        for part, title in titles.items()
        for what in ("images", "patients")
    ]


@require_safe
@requires("datasets.view")
def dataset_detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    version = selectors.dataset_get(public_id)
    folds = [
        (fold, cells := [named[name] for name in version.counts["classes"]], sum(cells))
        for fold, named in version.counts["folds"].items()
    ]
    context = {
        "version": version, "counts": counts_table(version.counts), "flow": version.flow, "checks": version.proof,
        "folds": folds, "n_withdrawn": selectors.dataset_withdrawn(version),
        "n_moved": selectors.dataset_moved(version).count(),
        "problems": selectors.dataset_problems_known(version), "layouts": LAYOUTS,
        "rules": rules_in_words(version.choices), "share": f"{float(version.choices['fraction']):.0%}",
        "others": selectors.dataset_list().exclude(pk=version.pk)[:20],
    }  # fmt: skip
    return render(request, "cases/dataset_detail.html", context)


@require_safe
@requires("datasets.view")
def dataset_flow_figure(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _svg(flow_svg(selectors.dataset_get(public_id).flow), forever=True)


def _svg(content: bytes, *, forever: bool = False) -> HttpResponse:
    response = HttpResponse(content, content_type="image/svg+xml")
    response["Cache-Control"] = "private, max-age=31536000, immutable" if forever else "private, no-cache"
    return response


@require_safe
@requires("datasets.view")
def dataset_table_one(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The paper's Table 1 of this version and, if chosen, an external cohort."""
    version = selectors.dataset_get(public_id)
    external = Cohort.objects.filter(purpose=Cohort.Purpose.EXTERNAL)
    problem, cohort = None, external.filter(pk=whole_number(request.GET.get("external")) or 0).first()
    try:
        table = comparisons.table_one_of(version, cohort)
    except DomainError as error:
        problem, table = error, comparisons.table_one_of(version, None)
    context = {"version": version, "table": table, "external": external, "cohort": cohort, "problem": problem}
    return render(request, "cases/dataset_table_one.html", context)


@require_safe
@requires("datasets.view")
def dataset_diff(request: HttpRequest, public_id: uuid.UUID, other: uuid.UUID) -> HttpResponse:
    first, second = selectors.dataset_get(public_id), selectors.dataset_get(other)
    for version in (first, second):
        labels_seen(person(request), version)
    before, after = (selectors.manifest_lines(version) for version in (first, second))
    changes = diff(before, after, selectors.patients_recoded(first, second))
    counted = [(kind, title, sum(c.kind == kind for c in changes)) for kind, title in KINDS.items()]
    kind = request.GET.get("kind", "")
    shown = [change for change in changes if change.kind == kind] if kind in KINDS else changes
    context = {
        "first": first, "second": second, "counted": counted, "n": len(changes), "kind": kind if kind in KINDS else "",
        "page": Paginator(shown, PER_PAGE).get_page(request.GET.get("page")),
        "query": f"kind={kind}" if kind in KINDS else "", "transitions": transitions(changes),
        "choices": changed_choices(first.choices, second.choices),
    }  # fmt: skip
    return render(request, "cases/dataset_diff.html", context)


@require_safe
@requires("datasets.view")
def dataset_drift(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Two sets chosen in the address: the figures as numbers, the plot as an image of its own."""
    version = selectors.dataset_get(public_id)
    sets = comparisons.sets_of(version)
    context: dict[str, Any] = {"version": version, "sets": sets, "a": request.GET.get("a", "train")}
    context["b"] = request.GET.get("b", "internal")
    try:
        context["drift"] = _drift(version, sets, context["a"], context["b"])
    except DomainError as error:
        context["problem"] = error
    return render(request, "cases/dataset_drift.html", context)


def _drift(version: DatasetVersion, sets: list[comparisons.Set], a: str, b: str) -> comparisons.Drift:
    by_key = {one.key: one for one in sets}
    if a not in by_key or b not in by_key:
        raise NotFound("There is no such set.", hint="Choose two from the list.")
    return comparisons.drift_of(version, by_key[a], by_key[b])


@require_safe
@requires("datasets.view")
def dataset_drift_figure(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    version = selectors.dataset_get(public_id)
    sets = comparisons.sets_of(version)
    drift = _drift(version, sets, request.GET.get("a", "train"), request.GET.get("b", "internal"))
    names = (drift.first.title, drift.second.title)
    return _svg(drift_svg(drift.first.values, drift.second.values, names, drift.mix))


@require_POST
@requires("datasets.view")
def dataset_download(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """The images with their labels as a zip, streamed."""
    version = selectors.dataset_get(public_id)
    layout = request.POST.get("layout", "folders")
    chunks = dataset_export(actor=person(request), version=version, layout=layout)
    return zip_response(chunks, export_name(version, layout))


@require_http_methods(["GET", "HEAD", "POST"])
@requires("datasets.import")
def dataset_import(request: HttpRequest) -> HttpResponse:
    """A zip as an export makes it. Its list is checked at once, its images by a job."""
    form = DatasetImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        target = Target(data["cohort"], data["purpose"], data["code_prefix"])
        try:
            job, n = dataset_receive(
                actor=person(request), stream=data["file"], size_bytes=data["file"].size, target=target
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            ring(job.pk)
            told = f"The list names {counted(n, 'image')}. A job takes them in; its row says how far it is."
            messages.success(request, told)
            return redirect("job_list")
    return render(request, "cases/dataset_import.html", {"form": form}, status=400 if form.errors else 200)


@require_safe
@requires("datasets.view")
def dataset_manifest(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The manifest whose SHA-256 is the version's hash."""
    version = selectors.dataset_get(public_id)
    labels_seen(person(request), version)
    response = HttpResponse(selectors.manifest_bytes(version), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{export_name(version, "manifest")[:-4]}.json"'
    return response
