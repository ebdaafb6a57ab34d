"""Django's own errors in the same shape as ours."""

from __future__ import annotations

import sys

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse

from leukoweb.core.exceptions import DomainError
from leukoweb.core.middleware import error_response
from leukoweb.core.permissions import public
from leukoweb.core.troubles import Unavailable, trouble_of


@public
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_response(request, DomainError("The request could not be understood.", hint="Go back and try again."))


@public
def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_response(request, DomainError("This is not allowed.", code="E_NOT_ALLOWED"), status=403)


@public
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    error = DomainError(
        "The page was open for too long or was sent from elsewhere, so nothing was changed.",
        code="E_CSRF", hint="Reload the page, then do it again.",
    )  # fmt: skip
    return error_response(request, error, status=403)


@public
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    error = DomainError(
        "There is nothing here.", code="E_NOT_FOUND", hint="Check the address, or start from the first page."
    )
    return error_response(request, error, status=404)


@public
def server_error(request: HttpRequest) -> HttpResponse:
    """The last resort. Asks the database nothing more: it may be what is broken. Called while the error is handled."""
    request.user = AnonymousUser()
    if hasattr(request, "_messages"):
        del request._messages  # they lie in the session, which lies in the database
    trouble = trouble_of(sys.exc_info()[1])
    error = trouble or DomainError(
        "Something went wrong on our side. Nothing was half-saved.", code="E_UNEXPECTED",
        hint="Try again; if it stays, tell your admin the time and what you did.",
    )  # fmt: skip
    response = error_response(request, error, status=trouble.status if trouble else 500)
    if isinstance(trouble, Unavailable):
        response["Retry-After"] = str(trouble.retry_after_s)
    return response
