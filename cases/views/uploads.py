"""The upload page; the work is done by upload.js against the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from cases import selectors
from cases.imaging import DEFAULT_LIMITS
from cases.models import Cohort
from cases.services.uploads import ARCHIVE_BYTES_MAX
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import requires


@ensure_csrf_cookie
@require_safe
@requires("slides.upload")
def upload(request: HttpRequest) -> HttpResponse:
    """``?slide=ID`` or ``?cohort=ID`` chooses the target beforehand."""
    slide_id = whole_number(request.GET.get("slide"))
    context = {
        "slide": selectors.slide_get(slide_id) if slide_id is not None else None,
        "cohorts": Cohort.objects.order_by("name"),
        "cohort_id": whole_number(request.GET.get("cohort")),
        "open_uploads": selectors.open_uploads(person(request)),
        "file_mb_max": DEFAULT_LIMITS.file_bytes // 1_000_000,
        "archive_gb_max": ARCHIVE_BYTES_MAX // 1_000_000_000,
    }
    return render(request, "cases/upload.html", context)
