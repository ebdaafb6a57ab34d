"""Downloads of an analysis: tables in every format, figures, reports, readings, the bundle. Each is on record."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from leukoweb.core.http import person
from leukoweb.core.permissions import requires
from reader_study.analysis.table_model import find
from reader_study.analysis.tables import result_tables
from reader_study.analysis_files import FILES
from reader_study.exports.tables import FORMATS
from reader_study.models import Analysis
from reader_study.rendering import drawn, file_bytes
from reader_study.report.formats import CONTENT_TYPES
from reader_study.selectors.analyses import analysis_get, result_of
from reader_study.services.analyses import analysis_exported, analysis_opened


def _file(analysis: Analysis, name: str, content_type: str, data: bytes) -> HttpResponse:
    """An attachment whose name begins with the study's and says when it is interim."""
    prefix = slugify(analysis.study.title)[:60] or "study"
    interim = "-interim" if analysis.interim else ""
    response = HttpResponse(data, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{prefix}{interim}-{name}"'
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
@requires("analyses.view")
def analysis_table(request: HttpRequest, analysis: uuid.UUID, key: str, kind: str) -> HttpResponse:
    found = analysis_get(analysis, for_user=person(request))
    table = find(result_tables(result_of(found)), key)
    if table is None or kind not in FORMATS:
        raise Http404
    content_type, make = FORMATS[kind]
    analysis_opened(actor=person(request), analysis=found)
    analysis_exported(actor=person(request), analysis=found, what=f"{key}.{kind}")
    return _file(found, f"{key}.{kind}", content_type, make(table))


@require_safe
@requires("analyses.view")
def analysis_figure(request: HttpRequest, analysis: uuid.UUID, key: str, kind: str) -> HttpResponse:
    """The figure for the page, or with ``?download`` as a file."""
    found = analysis_get(analysis, for_user=person(request))
    result = result_of(found)
    if kind not in CONTENT_TYPES or not key.replace("_", "").replace("-", "").isalnum():
        raise Http404
    data = drawn(found, result, key, kind)
    if data is None:
        raise Http404
    analysis_opened(actor=person(request), analysis=found)
    if "download" in request.GET:
        analysis_exported(actor=person(request), analysis=found, what=f"{key}.{kind}")
        return _file(found, f"{key}.{kind}", CONTENT_TYPES[kind], data)
    response = HttpResponse(data, content_type=CONTENT_TYPES[kind])
    response["Cache-Control"] = "private, max-age=86400"  # an analysis never changes
    return response


@require_safe
@requires("analyses.view")
def analysis_file(request: HttpRequest, analysis: uuid.UUID, name: str) -> HttpResponse:
    found = analysis_get(analysis, for_user=person(request), inputs=True)
    result = result_of(found)
    kind = FILES.get(name)
    if kind is None:
        raise Http404
    analysis_opened(actor=person(request), analysis=found)
    analysis_exported(actor=person(request), analysis=found, what=name)
    return _file(found, name, kind.content_type, file_bytes(found, name, result))
