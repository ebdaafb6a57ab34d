"""Reference diagnoses. Opening a patient's page is recorded before anything is shown."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from django_tables2 import RequestConfig

from cases import selectors, services
from cases.filters import ReferenceFilter
from cases.forms import ReferenceForm
from cases.models import Exposure
from cases.tables import ReferenceTable
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError, NotAllowed
from leukoweb.core.http import person
from leukoweb.core.permissions import has_action, requires


@require_safe
@requires("references.view")
def reference_list(request: HttpRequest) -> HttpResponse:
    """Who has a reference; the diagnoses are one click, and one record, away."""
    narrowed = ReferenceFilter(request.GET, queryset=selectors.reference_patients())
    table = ReferenceTable(narrowed.qs)
    RequestConfig(request, paginate={"per_page": 50, "silent": True}).configure(table)
    asked = any(value for name, value in request.GET.items() if name not in ("page", "sort"))
    return render(request, "cases/reference_list.html", {"table": table, "filter": narrowed, "narrowed": asked})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("references.view")
def patient_references(request: HttpRequest, pk: int) -> HttpResponse:
    patient = selectors.patient_get(pk)
    services.exposure_record(person(request), patient, Exposure.Kind.REFERENCE)
    form = ReferenceForm(request.POST or None)
    if request.method == "POST":
        if not has_action(person(request), "references.edit"):
            raise NotAllowed("Your role does not allow entering references.")
        if form.is_valid():
            try:
                services.reference_add(actor=person(request), patient=patient, **form.cleaned_data)
            except DomainError as error:
                add_errors(form, error)
            else:
                messages.success(request, "The reference diagnosis was entered.")
                return redirect("patient_references", pk)
    context = {"patient": patient, "form": form, "history": selectors.reference_history(patient)}
    return render(request, "cases/patient_references.html", context, status=400 if form.errors else 200)
