"""Cohorts: the list, one cohort's patients and slides, a new one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from django_tables2 import RequestConfig

from cases import selectors, services
from cases.filters import PatientFilter, SlideFilter
from cases.forms import CohortChangeForm, CohortForm
from cases.services.mending import cohort_name_held
from cases.tables import PatientTable, SlideTable
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.permissions import requires

PER_PAGE = 50


@require_safe
@requires("slides.view")
def cohort_list(request: HttpRequest) -> HttpResponse:
    return render(request, "cases/cohort_list.html", {"cohorts": selectors.cohort_list()})


@require_safe
@requires("slides.view")
def cohort_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The slides of a cohort."""
    cohort = selectors.cohort_get(pk)
    columns = selectors.slide_columns()  # none for a blinded person
    rows = selectors.slide_list(cohort=cohort)
    narrowed = SlideFilter(request.GET, queryset=rows, cohort=cohort, columns=columns)
    table = SlideTable(narrowed.qs, order_by=("patient", "code"), columns=columns)
    return _list(request, "slides", table, {"cohort": cohort, "filter": narrowed})


@require_safe
@requires("slides.view")
def cohort_patients(request: HttpRequest, pk: int) -> HttpResponse:
    cohort = selectors.cohort_get(pk)
    narrowed = PatientFilter(request.GET, queryset=selectors.patient_list(cohort))
    return _list(request, "patients", PatientTable(narrowed.qs), {"cohort": cohort, "filter": narrowed})


def _list(request: HttpRequest, tab: str, table: Any, context: dict[str, Any]) -> HttpResponse:
    RequestConfig(request, paginate={"per_page": PER_PAGE, "silent": True}).configure(table)
    if isinstance(table, SlideTable):
        table.look_up()
    narrowed = any(value for name, value in request.GET.items() if name not in ("page", "sort"))
    context |= {"table": table, "tab": tab, "narrowed": narrowed}
    return render(request, "cases/cohort_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("cohorts.manage")
def cohort_create(request: HttpRequest) -> HttpResponse:
    form = CohortForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            cohort = services.cohort_create(actor=person(request), **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Cohort {cohort} was made.")
            return redirect("cohort_detail", cohort.pk)
    return render(request, "cases/cohort_form.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("cohorts.manage")
def cohort_change(request: HttpRequest, pk: int) -> HttpResponse:
    cohort = selectors.cohort_get(pk)
    initial = {"name": cohort.name, "description": cohort.description}
    form = CohortChangeForm(request.POST or None, initial=initial, name_held=cohort_name_held(cohort))
    if request.method == "POST" and form.is_valid():
        try:
            services.cohort_change(actor=person(request), cohort=cohort, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The cohort was changed.")
            return redirect("cohort_detail", pk)
    context = {"form": form, "title": "Change name and description", "crumb": cohort, "back": "cohort_detail",
               "button": "Save"}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)
