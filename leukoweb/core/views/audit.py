"""The audit trail: filter, page, take away, and see whether the chain is whole."""

from __future__ import annotations

import tempfile
from typing import Any

from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leukoweb.core.audit import chain_verify
from leukoweb.core.audit_targets import target_names
from leukoweb.core.audit_trail import KINDS, Asked, audit_actions, audit_events, audit_export, named_events
from leukoweb.core.exceptions import DomainError
from leukoweb.core.health import chain_finding
from leukoweb.core.http import person, query_kept
from leukoweb.core.permissions import requires

PER_PAGE = 50
SPOOL_BYTES = 4 << 20


def _day() -> forms.DateField:
    help_text = f"A day in {settings.TIME_ZONE}"
    return forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text=help_text)


class AuditForm(forms.Form):
    who = forms.CharField(max_length=150, required=False, label="Person", help_text="Part of a user name")
    action = forms.CharField(max_length=60, required=False)
    on = forms.CharField(max_length=120, required=False, label="Object", help_text="Such as study, or slide:12")
    since = _day()
    until = _day()
    text = forms.CharField(max_length=200, required=False, label="Words", help_text="In reasons and details")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This day lies before the first one.")
        return data

    @property
    def asked(self) -> Asked:
        return Asked(**self.cleaned_data)


@require_safe
@requires("audit.view")
def audit_list(request: HttpRequest) -> HttpResponse:
    form = AuditForm(request.GET)
    form.fields["action"].widget = forms.Select(choices=[("", "Any"), *((name, name) for name in audit_actions())])
    valid = form.is_valid()
    events = audit_events(for_user=person(request), asked=form.asked) if valid else None
    page = Paginator(events, PER_PAGE).get_page(request.GET.get("page")) if events is not None else None
    context = {
        "form": form, "query": query_kept(request, form.fields), "chain": chain_finding(),
        "report": chain_verify() if request.GET.get("verify") else None,
        "page": page, "events": named_events(person(request), page) if page else [],
        "about": target_names(person(request), [form.asked.on]).get(form.asked.on) if valid else None,
    }  # fmt: skip
    return render(request, "core/audit.html", context, status=200 if valid else 400)


@require_safe
@requires("audit.view")
def audit_file(request: HttpRequest, kind: str) -> HttpResponseBase:
    """What the filters find, as a file. Nothing is sent unless all of it was written."""
    if kind not in KINDS:
        raise Http404
    form = AuditForm(request.GET)
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise DomainError(f"{name}: {errors[0]}", field=name, hint="Go back and correct the filters.")
    place = settings.FILE_UPLOAD_TEMP_DIR
    file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=place)  # noqa: SIM115 (the response closes it)
    audit_export(actor=person(request), asked=form.asked, kind=kind, file=file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=f"audit.{kind}", content_type=KINDS[kind])
