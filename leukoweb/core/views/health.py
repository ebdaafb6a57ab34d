"""The health page for admins, and the numbers for a monitoring system that knows the token."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leukoweb.core.exceptions import NotFound
from leukoweb.core.health import GOOD, findings
from leukoweb.core.metrics import metrics_text
from leukoweb.core.permissions import public, requires


@require_safe
@requires("health.view")
def health(request: HttpRequest) -> HttpResponse:
    found = findings()
    return render(request, "core/health.html", {"findings": found, "n_open": sum(f.state != GOOD for f in found)})


@require_safe
@public
def metrics(request: HttpRequest) -> HttpResponse:
    """Without METRICS_TOKEN the page does not exist."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        raise NotFound("There is no such page.")
    return HttpResponse(metrics_text(), content_type="text/plain; version=0.0.4; charset=utf-8")
