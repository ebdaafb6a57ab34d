"""The board's own answers: JSON with named keys only, and the pixels. Everything is found by tokens."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_POST, require_safe

from cases.services.content import thumbnail_of
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import blob_response, person
from leukoweb.core.permissions import requires
from reader_study.forms import unlock
from reader_study.selectors.reading import case_of, case_state, image_of, nothing_here, session_state
from reader_study.services.readings import AnswerConflict, answer_save, case_seen, case_show, next_case
from reader_study.views.blind import answers_json, field_reports, json_body, own_session, require_awake, wake

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png"}


@require_safe
@requires("studies.read")
@answers_json
def desk_state(request: HttpRequest, session: str) -> HttpResponse:
    """Progress, the way one may go, and what an answer consists of."""
    return JsonResponse(session_state(own_session(request, session)))


@require_safe
@requires("studies.read")
@answers_json
def desk_case(request: HttpRequest, session: str, case: str) -> HttpResponse:
    return JsonResponse(case_state(case_of(own_session(request, session), case)))


@require_POST
@requires("studies.read")
@answers_json
def desk_show(request: HttpRequest, session: str, case: str) -> HttpResponse:
    """Go to a case and get it."""
    found = own_session(request, session)
    json_body(request)
    row = case_of(found, case)
    case_show(session=found, case=row)
    return JsonResponse(case_state(row))


@require_POST
@requires("studies.read")
@answers_json
def desk_next(request: HttpRequest, session: str) -> HttpResponse:
    """Go to the case after the current one; how a study that is read forward only goes on."""
    found = own_session(request, session)
    json_body(request)
    following = next_case(found)
    if following is None:
        raise nothing_here()
    row = case_of(found, following.token)
    case_show(session=found, case=row)
    return JsonResponse(case_state(row))


@require_POST
@requires("studies.read")
@answers_json
def desk_answer(request: HttpRequest, session: str, case: str) -> HttpResponse:
    """Store the answer; 409 with what is stored if it changed elsewhere."""
    found = own_session(request, session)
    body = json_body(request, key=str, version=int, answer=dict)
    try:
        key = uuid.UUID(body["key"])
    except ValueError as error:
        raise DomainError("key is not a UUID.", code="E_BODY", field="key") from error
    row = case_of(found, case)
    try:
        saved = answer_save(session=found, case=row, key=key, version=body["version"], answer=body["answer"])
    except AnswerConflict as error:
        stored = {"error": error.as_dict(), "version": error.version, "answer": error.answer}
        return JsonResponse(stored, status=error.status)
    return JsonResponse({"version": saved.version, "at": saved.at.isoformat()})


@require_POST
@requires("studies.read")
@answers_json
def desk_seen(request: HttpRequest, session: str, case: str) -> HttpResponse:
    """Totals of what was looked at and for how long."""
    found = own_session(request, session)
    body = json_body(request, active_ms=int, fields=dict)
    row = case_of(found, case)
    fields = field_reports(body["fields"])
    return JsonResponse(case_seen(session=found, case=row, active_ms=body["active_ms"], fields=fields))


@require_POST
@requires("studies.read")
@answers_json
def desk_unlock(request: HttpRequest) -> HttpResponse:
    """The password again, without leaving the board."""
    body = json_body(request, password=str, code=str)
    unlock(request, password=body["password"], code=body["code"])
    wake(request)
    return JsonResponse({"awake": True})


@require_safe
@requires("studies.read")
@answers_json
def desk_image(request: HttpRequest, session: str, image: str) -> HttpResponseBase:
    """The pixels, under a token. Neither name, date nor hash of the file is told, and nothing may keep them."""
    row = image_of(person(request), session, image)
    require_awake(request, row.case.session)
    return blob_response(row.content_sha256, content_type=MEDIA_TYPES[row.format])


@require_safe
@requires("studies.read")
@answers_json
def desk_small(request: HttpRequest, session: str, image: str) -> HttpResponse:
    row = image_of(person(request), session, image)
    require_awake(request, row.case.session)
    return HttpResponse(thumbnail_of(row.content_sha256), content_type="image/webp")
