"""The result of a run: read, compared, exported. Each of these records that this person saw it."""

from __future__ import annotations

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from cases.models import HpfImage
from cases.services.exposures import exposure_record, exposures_record
from inference.filters import ResultFilter, patients_unseen
from inference.models import PipelineRun, PipelineVersion
from inference.selectors.comparison import differences, same_diagnosis
from inference.selectors.exports import csv_rows
from inference.selectors.images import images_sha256_by_slide
from inference.selectors.results import Result, result_get, result_run
from inference.selectors.runs import run_list, run_words, runs_of_slide
from inference.services.errors import SaliencyUnavailable
from inference.services.interop import interop_required, result_export
from inference.services.saliency import overlay_png, saliency_request
from inference.views.csv import csv_response
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, query_kept
from leukoweb.core.jobs.bell import ring
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import requires

FIELDS_PER_PAGE = 60
PER_PAGE = 50


def opened(user: User, public_id: uuid.UUID) -> Result:
    """The result, after recording that ``user`` sees it."""
    result = result_get(public_id)
    exposure_record(user, result.run.slide.patient, "result")
    return result


@require_safe
@requires("results.view")
def result_list(request: HttpRequest) -> HttpResponse:
    """Runs and their states, without diagnoses: looking at one is a deed of its own, and so is narrowing by one."""
    narrowed = ResultFilter(request.GET, queryset=run_list())
    n_unseen = patients_unseen(request.GET, person(request)).count()
    page = Paginator(narrowed.qs.none() if n_unseen else narrowed.qs, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "runs": [(run, run_words(run)) for run in page],
        "filter": narrowed,
        "narrowed": any(narrowed.data.get(name) for name in narrowed.filters),
        "query": query_kept(request, narrowed.filters),
        "n_unseen": n_unseen,
    }
    return render(request, "inference/result_list.html", context)


@require_POST
@requires("results.view")
def result_list_seen(request: HttpRequest) -> HttpResponse:
    """Record that this person sees the results that the narrowing by diagnosis tells, then show it."""
    exposures_record(person(request), patients_unseen(request.GET, person(request)), "result")
    return redirect(f"{reverse('result_list')}?{query_kept(request, ResultFilter.base_filters)}")


@require_safe
@requires("results.view")
def result_detail(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """The result, or how far the run is."""
    found = result_run(run)
    if not hasattr(found, "prediction"):
        return render(request, "inference/result_pending.html", {"run": found, "job": found.job})
    result = opened(person(request), run)
    others = [r for r in runs_of_slide(found.slide) if r.pk != found.pk and hasattr(r, "prediction")]
    now = images_sha256_by_slide([found.slide_id]).get(found.slide_id, "")
    context = _fields_context(request, result) | {
        "others": others,
        "pipelines": PipelineVersion.objects.all(),
        "images_changed": now != found.prediction.images_sha256,
    }
    return render(request, "inference/result_detail.html", context)


@require_safe
@requires("results.view")
def result_fields(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """Fragment: the grid of fields, for another filter or page."""
    return render(request, "inference/_result_fields.html", _fields_context(request, opened(person(request), run)))


@require_safe
@requires("results.view")
def result_compare(request: HttpRequest, run: uuid.UUID, other: uuid.UUID) -> HttpResponse:
    first, second = opened(person(request), run), opened(person(request), other)
    if first.run.slide_id != second.run.slide_id:
        raise DomainError(
            "These two runs are of different slides.", code="E_COMPARE", hint="Choose two runs of one slide."
        )
    found = differences(first, second)
    context = {
        "first": first,
        "second": second,
        "pair": (first, second),
        "same": same_diagnosis(first, second),
        "differences": found,
        "n_changed": sum(d.label_changed for d in found),
        "n_both": sum(d.in_both for d in found),
        "n_alone": sum(not d.in_both for d in found),
    }
    return render(request, "inference/result_compare.html", context)


@require_safe
@requires("results.view")
def result_csv(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    result = opened(person(request), run)
    _audit_export(person(request), result.run, "csv")
    return csv_response(f"result-{run}.csv", *csv_rows(result))


@require_safe
@requires("results.view")
def result_file(request: HttpRequest, run: uuid.UUID, kind: str) -> HttpResponse:
    """JSON, FHIR Bundle or DICOM SR, as a file."""
    interop_required(kind)
    file = result_export(actor=person(request), result=opened(person(request), run), kind=kind)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return HttpResponse(file.data, content_type=file.content_type, headers=headers)


@require_safe
@requires("results.view")
def saliency(request: HttpRequest, run: uuid.UUID, image: uuid.UUID, slot: str, class_name: str) -> HttpResponse:
    """The overlay as PNG; 202 with its job while the map is being computed; 503 with the reason if that failed."""
    result = opened(person(request), run)
    model = result.slots_run.get(slot)
    if model is None:
        raise SaliencyUnavailable(f"{slot[:20]!r} was not run here.", hint=f"Run: {', '.join(result.slots_run)}.")
    row = get_object_or_404(HpfImage, public_id=image, slide=result.run.slide_id)
    png = overlay_png(row, model, class_name)
    if png is not None:
        return HttpResponse(png, content_type="image/png", headers={"Cache-Control": "private, max-age=3600"})
    job = saliency_request(actor=person(request), run=result.run, image=row, model=model, retry="retry" in request.GET)
    if job.status == Job.Status.FAILED:
        raise SaliencyUnavailable(job.error, hint=job.hint, code=job.error_code or None)
    ring(job.pk)
    return JsonResponse({"job": str(job.pk), "status": job.status}, status=202)


def _fields_context(request: HttpRequest, result: Result) -> dict[str, object]:
    leukemia_only = request.GET.get("show") == "leukemia"
    fields = [field for field in result.ranked if field.is_leukemia or not leukemia_only]
    page = Paginator(fields, FIELDS_PER_PAGE).get_page(request.GET.get("page"))
    return {
        "result": result,
        "page": page,
        "leukemia_only": leukemia_only,
        "fields_url": reverse("result_fields", args=[result.run.public_id]),
    }


def _audit_export(user: User, run: PipelineRun, kind: str) -> None:
    audit_record(actor=user, action="result.export", target=f"run:{run.public_id}", data={"format": kind})
