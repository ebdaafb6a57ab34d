"""What every page and answer under ``/read/`` shares: the session of the token, the idle lock, strict JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone

from leukoweb.core.api import StrictJSONParser
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from reader_study.middleware import STAMP
from reader_study.models import ReadingSession
from reader_study.selectors.reading import session_of

RESTAMP_S = 20
MAX_FIELDS = 500
View = Callable[..., HttpResponseBase]


class DeskLocked(DomainError):
    """Nobody was here for a while. Answers are kept; the password opens the desk again."""

    code = "E_LOCKED"
    status = 401

    def __init__(self) -> None:
        super().__init__("The desk was locked because nobody was here.", hint="Enter your password to go on.")


def own_session(request: HttpRequest, token: str) -> ReadingSession:
    """The reader's open session, unless the desk is locked.

    Raises
    ------
    NotFound
        Not there, not theirs, or not open.
    DeskLocked
        Nothing was done for as long as the protocol allows.
    """
    session = session_of(person(request), token)
    require_awake(request, session)
    now, last = timezone.now().timestamp(), request.session.get(STAMP)
    if last is None or now - last > RESTAMP_S:
        request.session[STAMP] = now
    return session


def require_awake(request: HttpRequest, session: ReadingSession) -> None:
    """Refuse what belongs to a session while the desk is locked; does not count as being here.

    Raises
    ------
    DeskLocked
        Nothing was done for as long as the session's protocol allows.
    """
    last = request.session.get(STAMP)
    if last is not None and timezone.now().timestamp() - last > session.rules["idle_minutes"] * 60:
        raise DeskLocked


def wake(request: HttpRequest) -> None:
    request.session[STAMP] = timezone.now().timestamp()


def page(view: View) -> View:
    """A page of the desk: where the desk is locked, the password is asked for first."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except DeskLocked:
            response = redirect("reading_unlock")
            response["Location"] += f"?next={request.path}"
            return response

    return wrapped


def answers_json(view: View) -> View:
    """Errors of these addresses are JSON, whatever the caller accepts."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            return JsonResponse({"error": error.as_dict()}, status=error.status)

    return wrapped


def json_body(request: HttpRequest, **kinds: type) -> dict[str, Any]:
    """The body with exactly these keys, each of its kind.

    Raises
    ------
    DomainError
        Broken JSON, a key that is missing or not known, or a value of another kind.
    """
    body = StrictJSONParser().parse(request)
    if not isinstance(body, dict) or set(body) != set(kinds):
        named = ", ".join(kinds) or "nothing"
        raise DomainError(f"The body has to hold {named} and no more.", code="E_BODY")
    for name, kind in kinds.items():
        if not isinstance(body[name], kind) or (kind is int and (isinstance(body[name], bool) or body[name] < 0)):
            raise DomainError(f"{name} is not what it should be.", code="E_BODY", field=name)
    return body


def field_reports(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Token -> {ms, coverage}, checked."""
    if len(raw) > MAX_FIELDS:
        raise DomainError(f"{len(raw)} fields at once; at most {MAX_FIELDS}.", code="E_BODY", field="fields")
    for report in raw.values():
        right = isinstance(report, dict) and set(report) == {"ms", "coverage"} and type(report["ms"]) is int
        if not right or report["ms"] < 0 or not _is_mask(report["coverage"]):
            raise DomainError("A field has ms and coverage (16 hexadecimal digits).", code="E_BODY", field="fields")
    return raw


def _is_mask(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 16 and all(c in "0123456789abcdef" for c in value)
