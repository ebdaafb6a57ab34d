"""The results of a whole cohort as files."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from cases.models import Cohort, Exposure
from inference.forms import CohortExportForm
from inference.interop import dicom
from inference.selectors.cohort_results import result_pipelines
from inference.services.cohort_results import KINDS, cohort_export, cohort_export_name, require_open_eyes
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, zip_response
from leukoweb.core.permissions import requires


@require_safe
@requires("results.view")
def cohort_results(request: HttpRequest, pk: int) -> HttpResponse:
    """What there is to take away, and what that records. Nothing of a result is on this page."""
    cohort = get_object_or_404(Cohort, pk=pk)
    require_open_eyes()
    seen = Exposure.objects.filter(user=person(request), kind="result", patient__cohort=cohort)
    context = {
        "cohort": cohort,
        "pipelines": result_pipelines(cohort),
        "kinds": [(kind, words, kind != "sr" or dicom.available()) for kind, words in KINDS.items()],
        "n_seen": seen.count(),
    }
    return render(request, "inference/cohort_results.html", context)


@require_POST
@requires("results.view")
def cohort_results_file(request: HttpRequest, pk: int) -> HttpResponseBase:
    cohort = get_object_or_404(Cohort, pk=pk)
    form = CohortExportForm(request.POST)
    if not form.is_valid():
        raise DomainError("This pipeline or format does not exist (any more).", hint="Go back and choose another.")
    kind = form.cleaned_data["format"]
    chunks = cohort_export(actor=person(request), cohort=cohort, pipeline=form.cleaned_data["pipeline"], kind=kind)
    return zip_response(chunks, cohort_export_name(cohort, kind))
