"""The designer: form, live checks, planner, file in and out."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import requires
from reader_study.designer_form import Designer, anchor
from reader_study.models import Study
from reader_study.planner import plan
from reader_study.protocol import Problem, ProtocolRefused, clean, diff, load_yaml
from reader_study.protocol.yaml_io import MAX_BYTES, YamlRefused
from reader_study.selectors.confounders import confounders
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.studies import study_get
from reader_study.services import studies


def checks(study: Study, document: dict[str, Any], built: list[Any]) -> dict[str, Any]:
    """What the panel beside the form says. ``built``: problems of a document that is not even built right."""
    found = feasibility(study, document)
    problems = [*built, *found.problems]
    return {
        "study": study, "problems": [(problem, anchor(problem.path)) for problem in problems],
        "warnings": [(warning, anchor(warning.path)) for warning in found.warnings], "refused": found.refused,
        "plan": plan(document, n_patients=len(found.cases.patients), n_images=_n_images(found.cases)),
        "n_training": len(found.cases.training),
    }  # fmt: skip


def _n_images(cases: Any) -> int:
    return sum(len(cases.manifests.get(patient.pk, [])) for patient in cases.patients)


def _draft(request: HttpRequest, public_id: uuid.UUID) -> Study:
    study = study_get(public_id, for_user=person(request))
    if study.state != Study.State.DRAFT:
        raise Conflict("The protocol is locked.", code="E_STATE", hint="Open the study and amend it.")
    return study


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.manage")
def study_design(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    study, status = _draft(request, public_id), 200
    designer, document = Designer(study.draft), study.draft
    built: list[Any] = []
    version = study.draft_version
    if request.method == "POST":
        designer = Designer(study.draft, request.POST)
        document, built = clean(designer.document())
        version = _version(request)
        try:
            studies.draft_save(actor=person(request), study=study, document=designer.document(), version=version)
        except DomainError as error:
            status = error.status
            messages.error(request, f"Not saved. {error.message} {error.hint}".strip())
        else:
            messages.success(request, "Saved.")
            return redirect("study_lock" if request.POST.get("then") == "lock" else "study_design", public_id)
    context = {"designer": designer, "version": version, "checks": checks(study, document, built), "study": study,
               "unsaved": status != 200}  # fmt: skip
    return render(request, "reader_study/study_design.html", context, status=status)


def _version(request: HttpRequest) -> int:
    """Which draft the page was made from."""
    version = whole_number(request.POST.get("draft_version") or "0")
    if version is None:
        raise DomainError("The page does not say which draft it shows.", hint="Load it again.", field="draft_version")
    return version


@require_POST
@requires("studies.manage")
def study_check(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The panel for what stands in the form now; nothing is saved."""
    study = _draft(request, public_id)
    document, built = clean(Designer(study.draft, request.POST).document())
    unsaved = bool(built) or bool(diff(study.draft, document))
    return render(
        request, "reader_study/_study_checks.html", {"checks": checks(study, document, built), "unsaved": unsaved}
    )


@require_safe
@requires("studies.manage")
def study_confounders(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    found = feasibility(study, study.draft)
    report = confounders(study.draft, found.cases)
    return render(request, "reader_study/study_confounders.html", {"study": study, "report": report})


@require_POST
@requires("studies.manage")
def study_upload(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Replace the draft by a YAML file; nothing is stored unless the file is built right."""
    study = _draft(request, public_id)
    file = request.FILES.get("file")
    if file is None:
        raise DomainError("Choose a YAML file first.", field="file")
    try:
        document = load_yaml(file.read(MAX_BYTES + 1))
        version = _version(request)
        studies.draft_save(actor=person(request), study=study, document=document, version=version)
    except (YamlRefused, ProtocolRefused) as refused:
        at_all = [Problem("", refused.message, refused.hint)]
        problems = refused.problems if isinstance(refused, ProtocolRefused) else at_all
        context = {"study": study, "problems": problems}
        return render(request, "reader_study/study_upload_refused.html", context, status=400)
    messages.success(request, "The file was taken over as the draft.")
    return redirect("study_design", public_id)
