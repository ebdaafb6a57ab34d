"""The walk through the cases after the unblinding, and the panel's re-reading."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import requires
from reader_study.selectors.studies import protocol_current, study_get
from reader_study.selectors.walkthrough import FILTERS, walk_get, walk_images, walk_list
from reader_study.services.panel import panel_read, walks_seen
from reader_study.views.walk_links import walk_choice

PER_PAGE = 50


class PanelForm(forms.Form):
    members = forms.CharField(max_length=300, label="Members of the panel")
    diagnosis = forms.ChoiceField(required=False, label="The panel's diagnosis")
    reason = forms.CharField(required=False, max_length=300, label="Why the panel could not agree")
    comment = forms.CharField(required=False, max_length=2_000, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, classes: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["diagnosis"].choices = [("", "No agreement"), *((name, name) for name in classes)]  # type: ignore[attr-defined]


@require_safe
@requires("studies.manage")
def study_walk(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The cases, disputed ones unless asked otherwise. What a page shows is on record for whoever looks at it."""
    study = study_get(public_id, for_user=person(request))
    choice = walk_choice(request.GET, study=study, for_user=person(request))
    walks = [walk for walk in walk_list(study) if choice.has(walk)]
    page = max(1, whole_number(request.GET.get("page")) or 1)
    shown = walks[(page - 1) * PER_PAGE : page * PER_PAGE]
    walks_seen(actor=person(request), walks=shown)
    context = {"study": study, "walks": shown, "n": len(walks), "choice": choice, "filters": FILTERS, "page": page,
               "more": len(walks) > page * PER_PAGE}  # fmt: skip
    return render(request, "reader_study/study_walk.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.manage")
def study_walk_case(request: HttpRequest, public_id: uuid.UUID, code: str) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    walk = walk_get(study, code)
    walks_seen(actor=person(request), walks=[walk])
    protocol = protocol_current(study)
    form = PanelForm(request.POST or None, classes=protocol.document["classes"]["names"] if protocol else [])
    if request.method == "POST" and form.is_valid():
        try:
            panel_read(actor=person(request), study=study, case=walk.case, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The panel's reading was stored beside the others.")
            return redirect("study_walk_case", public_id, code)
    choice = walk_choice(request.GET, study=study, for_user=person(request))
    codes = choice.listed(study)
    at = codes.index(code) if code in codes else -1
    context = {
        "study": study, "walk": walk, "form": form, "images": walk_images(walk), "choice": choice,
        "before": codes[at - 1] if at > 0 else "", "after": codes[at + 1] if 0 <= at < len(codes) - 1 else "",
    }  # fmt: skip
    return render(request, "reader_study/study_walk_case.html", context, status=400 if form.errors else 200)
