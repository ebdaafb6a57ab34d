"""The audit trail: filter, page, and see whether the chain is whole."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leukoweb.core.audit import chain_verify
from leukoweb.core.models import AuditEvent
from leukoweb.core.permissions import requires


@require_safe
@requires("audit.view")
def audit_list(request: HttpRequest) -> HttpResponse:
    events = AuditEvent.objects.select_related("actor")
    action, person = request.GET.get("action", "")[:60], request.GET.get("who", "")[:150]
    if action:
        events = events.filter(action=action)
    if person:
        events = events.filter(actor_name__icontains=person)
    actions = AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct()
    report = chain_verify() if request.GET.get("verify") else None
    page = Paginator(events, 50).get_page(request.GET.get("page"))
    context = {"page": page, "actions": actions, "action": action, "who": person, "report": report}
    return render(request, "core/audit.html", context)
