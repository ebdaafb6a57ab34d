"""Two walls: what a blind request may ask and tell, and what a reader may open outside of reading."""

from __future__ import annotations

from collections.abc import Callable

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from cases.selectors.sorting_blindfold import BOARD_PAGES, patients_in_sorting
from leukoweb.core.blindfold import lift, put_on
from leukoweb.core.middleware import wants_json
from reader_study.sealed import blind
from reader_study.selectors.blindfold import hidden_patients

GetResponse = Callable[[HttpRequest], HttpResponse]
PREFIX = "/read/"
STAMP = "reading_at"  # in the sign-in session: when the reader last did something at the desk
TELLING = ("ETag", "Last-Modified", "Content-Disposition", "Server-Timing", "X-Request-ID", "Expires", "Age")
NOTHING_JSON = b'{"error": {"code": "E_NOT_FOUND", "message": "There is nothing here.", "field": "", "hint": ""}}'
NOTHING_HTML = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Nothing here</title></head><body>'
    b'<h1>There is nothing here.</h1><p><a href="/read/">Back to your readings</a></p></body></html>'
)


class BlindReadingMiddleware:
    """Outermost. Under ``/read/`` the sealed tables are out of reach, headers are constant, and whatever is absent,
    somebody else's or closed answers with the same bytes."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        with blind():
            response = self.get_response(request)
        if response.status_code == 404:
            json = wants_json(request)
            response.content = NOTHING_JSON if json else NOTHING_HTML
            response["Content-Type"] = "application/json" if json else "text/html; charset=utf-8"
            if "Content-Length" in response:
                response["Content-Length"] = str(len(response.content))
        for header in TELLING:
            del response[header]
        response["Cache-Control"] = "no-store, private"
        response["Vary"] = "Cookie"
        return response


class BlindfoldMiddleware:
    """Behind authentication. Patients of a study that one reads do not exist for one until it is unblinded; those of
    a task that one sorts do not exist outside of its board until it is closed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        put_on(lambda: _hidden(request), lambda: request.user.pk)
        leaves = request.path_info == reverse("account_logout") and request.user.is_authenticated
        read = leaves and STAMP in request.session
        try:
            response = self.get_response(request)
        except BaseException:
            lift()
            raise
        if leaves and request.method == "POST":
            # A shared computer keeps no field, and nothing at all of a reading (the storage also holds the theme).
            response["Clear-Site-Data"] = '"cache", "storage"' if read else '"cache"'
        return response


def _hidden(request: HttpRequest) -> set[int]:
    """Asked by the first query of a view, so the address is resolved."""
    hidden = set(hidden_patients(request.user))
    match = request.resolver_match
    if match is None or match.url_name not in BOARD_PAGES:
        hidden.update(patients_in_sorting(request.user))
    return hidden


def _lift(**kwargs: object) -> None:
    lift()


# Not at the end of the middleware: a table that is streamed is read after it.
request_finished.connect(_lift, dispatch_uid="reader_study.blindfold")
