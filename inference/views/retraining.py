"""When to retrain: a page that says what has changed since the active pipeline was trained."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference.selectors.retraining import retraining_standing
from leukoweb.core.permissions import requires


@require_safe
@requires("training.view")
def training_when(request: HttpRequest) -> HttpResponse:
    return render(request, "inference/training_when.html", {"standing": retraining_standing()})
