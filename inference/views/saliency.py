"""The sheet of a result's saliency maps: every field beside what models 2 and 3 looked at (the paper's Fig. 10)."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from inference.selectors.saliency import n_without_maps, sheet_rows
from inference.services.saliency import maps_exist, saliency_slide_job, saliency_slide_request
from inference.views.results import opened
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires

ROWS_PER_PAGE = 24


@require_safe
@requires("results.view")
def saliency_sheet(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    """Fields that decided first; where maps are missing, the button that makes all of them."""
    result = opened(person(request), run)
    page = Paginator(result.ranked or result.fields, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "result": result,
        "page": page,
        "rows": sheet_rows(result, page.object_list, maps_exist),
        "n_missing": n_without_maps(result, maps_exist),
        "job": saliency_slide_job(result.run),
    }
    return render(request, "inference/saliency_sheet.html", context)


@require_POST
@requires("results.view")
def saliency_render(request: HttpRequest, run: uuid.UUID) -> HttpResponse:
    result = opened(person(request), run)
    job = saliency_slide_request(actor=person(request), run=result.run)
    ring(job.pk)
    if job.created_by_id != request.user.pk:
        messages.info(request, "These maps were asked for already. They appear here when they are made.")
    return redirect("result_saliency_sheet", run=run)
