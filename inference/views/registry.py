"""Models & pipelines: what there is, what each says about itself, import, export, activation."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from typing import IO, Any

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inference.forms import ActivateForm, ImportForm, PipelineForm
from inference.models import ModelVersion, PipelineVersion
from inference.selectors.registry import model_list as models_all
from inference.selectors.registry import pipeline_active, pipeline_list, pipelines_with
from inference.services import archives, registry
from leukoweb.core.exceptions import DomainError
from leukoweb.core.forms import data_of
from leukoweb.core.http import person
from leukoweb.core.permissions import requires


@require_safe
@requires("models.view")
def model_list(request: HttpRequest) -> HttpResponse:
    active = pipeline_active()
    return _list(request, ImportForm(initial={"instead_of": active.pk if active else None}))


@require_safe
@requires("models.view")
def model_detail(request: HttpRequest, pk: int) -> HttpResponse:
    model = get_object_or_404(models_all(), pk=pk)
    card = model.card
    parts = (("Training data", "dataset"), ("Measured", "metrics"), ("Training", "training"))
    tables = [(title, flat(card.get(part, {}))) for title, part in parts]
    context = {
        "model": model,
        "card": card,
        "pipelines": pipelines_with(model),
        "tables": tables,
        "calibration": model.calibrations.first(),
    }
    return render(request, "inference/model_detail.html", context)


@require_safe
@requires("models.view")
def pipeline_detail(request: HttpRequest, pk: int) -> HttpResponse:
    pipeline = get_object_or_404(pipeline_list(), pk=pk)
    rules_json, active = json.dumps(pipeline.rule_set, indent=2), pipeline_active()
    form = ActivateForm(initial={"instead_of": active.pk if active else None})
    context = {"pipeline": pipeline, "form": form, "active": active, "rules_json": rules_json}
    return render(request, "inference/pipeline_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("models.manage")
def pipeline_create(request: HttpRequest) -> HttpResponse:
    active = pipeline_active()
    form = PipelineForm(request.POST or None, initial=active.slots if active else None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            pipeline = registry.pipeline_create(
                actor=person(request), name=data["name"], version=data["version"], description=data["description"],
                rule_set=data["rule_set"], models=form.models_by_slot(),
            )  # fmt: skip
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, f"{pipeline} is registered. It is used once it is activated.")
            return redirect("pipeline_detail", pk=pipeline.pk)
    return render(request, "inference/pipeline_create.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
@requires("models.manage")
def pipeline_activate(request: HttpRequest, pk: int) -> HttpResponse:
    pipeline = get_object_or_404(PipelineVersion, pk=pk)
    pipeline = registry.pipeline_activate(
        actor=person(request), pipeline=pipeline, **data_of(ActivateForm(request.POST))
    )
    messages.success(request, f"New runs use {pipeline}. Earlier results stay; cohort pages say what needs a rerun.")
    return redirect("pipeline_detail", pk=pipeline.pk)


@require_POST
@requires("models.manage")
def registry_import(request: HttpRequest) -> HttpResponse:
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _list(request, form, status=400)
    try:
        entry = archives.archive_import(actor=person(request), file=form.cleaned_data["file"].file, light=True)
    except DomainError as error:
        form.add_error("file", f"{error.message} {error.hint} ({error.code})")
        return _list(request, form, status=error.status)
    messages.success(request, f"{entry} is registered.")
    if isinstance(entry, ModelVersion):
        return redirect("model_detail", pk=entry.pk)
    if form.cleaned_data["activate"]:
        registry.pipeline_activate(
            actor=person(request), pipeline=entry, reason="At import", instead_of=form.cleaned_data["instead_of"]
        )
    return redirect("pipeline_detail", pk=entry.pk)


@require_safe
@requires("models.manage")
def model_export(request: HttpRequest, pk: int) -> FileResponse:
    model = get_object_or_404(ModelVersion, pk=pk)
    return _download(model, lambda out: archives.model_export(actor=person(request), model=model, out=out))


@require_safe
@requires("models.manage")
def pipeline_export(request: HttpRequest, pk: int) -> FileResponse:
    pipeline = get_object_or_404(pipeline_list(), pk=pk)
    return _download(pipeline, lambda out: archives.pipeline_export(actor=person(request), pipeline=pipeline, out=out))


def flat(data: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A card's free-form part as rows: nested names joined by a dot, numbers rounded for reading."""
    if isinstance(data, dict):
        return [row for key, value in data.items() for row in flat(value, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(data, list) and any(isinstance(item, dict | list) for item in data):
        return [row for i, item in enumerate(data, 1) for row in flat(item, f"{prefix}.{i}")]
    if isinstance(data, list):
        return [(prefix, ", ".join(str(item) for item in data))]
    return [(prefix, f"{data:.4g}" if isinstance(data, float) else str(data))]


def _list(request: HttpRequest, form: ImportForm, status: int = 200) -> HttpResponse:
    context = {"pipelines": pipeline_list(), "models": models_all(), "form": form}
    return render(request, "inference/model_list.html", context, status=status)


def _download(entry: ModelVersion | PipelineVersion, write: Callable[[IO[bytes]], None]) -> FileResponse:
    # Weights of many megabytes: on the disk where uploads wait, because /tmp may be memory (docker-compose.yml).
    out = tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115 - FileResponse closes it
    write(out)
    out.seek(0)
    return FileResponse(out, as_attachment=True, filename=archives.archive_name(entry), content_type="application/zip")
