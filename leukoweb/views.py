"""The start page, which differs by role, and the health check."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leukoweb.core.http import person
from leukoweb.core.permissions import public, requires
from leukoweb.home import home_context


@require_safe
@requires("home.view")
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", home_context(person(request)))


@require_safe
@public
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the database answers; says nothing that a stranger may not know."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError:
        return JsonResponse({"status": "unavailable", "database": "unreachable"}, status=503)
    return JsonResponse({"status": "ok", "database": "ok"})
