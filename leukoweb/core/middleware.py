"""Cross-cutting rules of every request: logging, security headers, deny by default, one error shape."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from leukoweb.core.exceptions import DomainError, NotAllowed
from leukoweb.core.permissions import has_action

GetResponse = Callable[[HttpRequest], HttpResponse]
log = structlog.get_logger("leukoweb.request")

# Views of libraries that carry no mark of ours: module prefix -> open to visitors without a sign-in?
LIBRARY_VIEWS = {
    "allauth.account": True,  # sign in, sign out, password; allauth guards its own pages
    "allauth.mfa": True,
    "allauth.socialaccount": True,
    "allauth.usersessions": False,
    "django.contrib.staticfiles": True,
    "django.views.static": False,
}


class RequestLogMiddleware:
    """One line per request with an id, without query strings, names or identities."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = uuid.uuid4().hex[:12]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        start = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        log.info(
            "request",
            method=request.method,
            route=match.route if match else "-",
            status=response.status_code,
            ms=round(1000 * (time.perf_counter() - start)),
            user=getattr(getattr(request, "_cached_user", None), "pk", None),  # not asked for where nobody did
        )
        response["X-Request-ID"] = request_id
        return response


class SecurityHeadersMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = "; ".join(f"{k} {v}" for k, v in settings.CONTENT_SECURITY_POLICY.items())

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", self.policy)
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
        response.setdefault("Cache-Control", "no-store")  # pages hold patients' data; images and files say otherwise
        return response


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def wants_json(request: HttpRequest) -> bool:
    """The API, and scripts of our pages that ask for JSON."""
    return is_api(request) or "application/json" in request.headers.get("Accept", "")


class SecondFactorMiddleware:
    """Roles named in MFA_REQUIRED_ROLES can do nothing but set up a second factor until they have one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if not settings.MFA_REQUIRED_ROLES or getattr(user, "role", "") not in settings.MFA_REQUIRED_ROLES:
            return self.get_response(request)
        if request.path.startswith(("/accounts/", settings.STATIC_URL)) or is_mfa_enabled(user):
            return self.get_response(request)
        if is_api(request):
            missing = NotAllowed("Your role needs two-step sign-in.", code="E_MFA", hint="Set it up in the browser.")
            return error_response(request, missing)
        messages.warning(request, "Your role needs two-step sign-in. Add an authenticator app or a security key first.")
        return redirect("mfa_index")


class DenyByDefaultMiddleware:
    """A view answers only if it is marked with the action it needs, and the user may do it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        action = required_action(view)
        if action is None:
            return None
        if not request.user.is_authenticated:
            if wants_json(request):
                return error_response(request, DomainError("Sign in first.", code="E_LOGIN"), status=401)
            return redirect_to_login(request.get_full_path())
        if action == "" or has_action(request.user, action):
            return None
        return error_response(request, NotAllowed("Your role does not allow this.", hint="Ask an admin."))


def required_action(view: Callable[..., Any]) -> str | None:
    """The action a view needs; None: public; "": a sign-in is enough; an unmarked view needs the impossible."""
    target = getattr(view, "view_class", getattr(view, "cls", view))
    for candidate in (view, target):
        if hasattr(candidate, "required_action"):
            return candidate.required_action  # type: ignore[no-any-return]
    module = getattr(target, "__module__", "")
    for prefix, visitors in LIBRARY_VIEWS.items():
        if module.startswith(prefix):
            return None if visitors else ""
    return "nobody"


class DomainErrorMiddleware:
    """Errors with a message become a page or, for the API and page fragments, the one JSON shape."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, DomainError):
            return error_response(request, exception)
        return None


def error_response(request: HttpRequest, error: DomainError, status: int | None = None) -> HttpResponse:
    status = status or error.status
    if wants_json(request):
        return JsonResponse({"error": error.as_dict()}, status=status)
    if status >= 500:
        logging.getLogger(__name__).error("%s: %s", error.code, error.message)
    return render(request, "core/error.html", {"error": error, "status": status}, status=status)
