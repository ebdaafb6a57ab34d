"""One patient: slides, corrections, withdrawal."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases import selectors, services
from cases.forms import NewSlideForm, PatientForm, RecodeForm, RemoveForm, WithdrawForm
from cases.services.content import PurgeDelayed
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.permissions import requires
from leukoweb.core.words import counted


@require_safe
@requires("slides.view")
def patient_detail(request: HttpRequest, pk: int) -> HttpResponse:
    patient = selectors.patient_get(pk)
    slides = selectors.slide_list(patient=patient).order_by("code")
    return render(request, "cases/patient_detail.html", {"patient": patient, "slides": slides})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.upload")
def patient_create(request: HttpRequest, pk: int) -> HttpResponse:
    """A patient of the cohort ``pk``."""
    cohort = selectors.cohort_get(pk)
    form = PatientForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            patient = services.patient_create(actor=person(request), cohort=cohort, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            return redirect("patient_detail", patient.pk)
    context = {"form": form, "title": "New patient", "crumb": cohort, "back": "cohort_detail", "button": "Make patient"}
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.upload")
def slide_create(request: HttpRequest, pk: int) -> HttpResponse:
    """A slide of the patient ``pk``."""
    patient = selectors.patient_get(pk)
    form = NewSlideForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            slide = services.slide_create(actor=person(request), patient=patient, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            return redirect("slide_detail", slide.pk)
    context = {"form": form, "title": "New slide", "crumb": patient, "back": "patient_detail", "button": "Make slide"}
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def patient_recode(request: HttpRequest, pk: int) -> HttpResponse:
    patient = selectors.patient_get(pk)
    form = RecodeForm(request.POST or None, initial={"code": patient.code})
    if request.method == "POST" and form.is_valid():
        try:
            services.patient_recode(actor=person(request), patient=patient, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The code was corrected.")
            return redirect("patient_detail", pk)
    context = {"form": form, "title": "Correct the patient's code", "crumb": patient, "back": "patient_detail",
               "button": "Correct code"}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("patients.withdraw")
def patient_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    patient = selectors.patient_get(pk)
    form = WithdrawForm(request.POST or None, expected=patient.code)
    if request.method == "POST" and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            purged = services.patient_withdraw(actor=person(request), patient=patient, reason=reason)
        except PurgeDelayed as error:
            messages.warning(request, f"{error} {error.hint}")
            return redirect("patient_detail", pk)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"{patient} was withdrawn; {counted(purged, 'stored image')} purged.")
            return redirect("patient_detail", pk)
    context = {"form": form, "patient": patient, "slides": selectors.slide_list(patient=patient)}
    return render(request, "cases/patient_withdraw.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def patient_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """A patient made by mistake; what rests on it is said instead where something does."""
    patient = selectors.patient_get(pk)
    form = RemoveForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.patient_remove(actor=person(request), patient=patient, reason=form.cleaned_data["reason"])
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Patient {patient} was removed.")
            return redirect("cohort_patients", patient.cohort_id)
    context = {"form": form, "title": f"Remove patient {patient}?", "crumb": patient, "back": "patient_detail",
               "button": "Remove the patient", "danger": True, "words": "Only a patient without slides can be removed, "
               "and only while nothing rests on it. The record keeps the code, your reason and your name."}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)
