"""Analyses of a study: asked for, read, downloaded. For its coordinators, after the unblinding or marked interim."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases.csv_tables import BYTES_MAX
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires
from reader_study.analysis.tables import SECTIONS, result_tables
from reader_study.models import Analysis, ImportedEvaluator, Study
from reader_study.selectors.analyses import analysis_get, analysis_list, result_of, sessions_unfinished
from reader_study.selectors.studies import protocol_current, study_get
from reader_study.services.analyses import analysis_create, analysis_opened, evaluator_import
from reader_study.views.shown_tables import shown_tables
from reader_study.views.walk_links import walk_links

TABLE_KINDS = [("csv", "CSV"), ("xlsx", "Excel"), ("json", "JSON"), ("tex", "LaTeX"), ("html", "for Word")]
FIGURE_KINDS = [("svg", "SVG"), ("pdf", "PDF"), ("png", "PNG")]


class InterimForm(forms.Form):
    reason = forms.CharField(max_length=300, label="Reason for looking before the study is complete")


class EvaluatorForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="As the protocol names the pipeline, to take its place")
    version = forms.CharField(max_length=40)
    source = forms.CharField(max_length=300, help_text="Where the answers come from")
    file = forms.FileField(
        help_text="CSV with a column case and one per level of classes, such as five; empty means undecided there"
    )


@require_http_methods(["GET", "POST"])
@requires("analyses.view")
def analysis_index(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The analyses of a study, and the form that asks for one more."""
    study = study_get(public_id, for_user=person(request))
    form = InterimForm(request.POST if "interim" in request.POST else None)
    if request.method == "POST" and ("interim" not in request.POST or form.is_valid()):
        try:
            interim, reason = "interim" in request.POST, form.cleaned_data["reason"] if form.is_bound else ""
            analysis = analysis_create(actor=person(request), study=study, interim=interim, reason=reason)
        except DomainError as error:
            return _index(request, study, form, error=error, status=error.status)
        ring(analysis.job_id)  # type: ignore[arg-type]
        return redirect("analysis_detail", analysis.public_id)
    return _index(request, study, form)


def _index(
    request: HttpRequest, study: Study, form: forms.Form, *, error: DomainError | None = None,
    evaluator_form: forms.Form | None = None, status: int = 200,
) -> HttpResponse:  # fmt: skip
    context = {
        "study": study, "analyses": analysis_list(study), "unfinished": sessions_unfinished(study), "form": form,
        "evaluator_form": evaluator_form or EvaluatorForm(), "error": error, "protocol": protocol_current(study),
        "evaluators": ImportedEvaluator.objects.filter(study=study).order_by("id"),
        "unblinded": study.state == Study.State.UNBLINDED,
    }  # fmt: skip
    return render(request, "reader_study/analysis_list.html", context, status=status)


@require_http_methods(["POST"])
@requires("analyses.view")
def evaluator_create(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Import the answers of an AI that did not run here."""
    study = study_get(public_id, for_user=person(request))
    form = EvaluatorForm(request.POST, request.FILES)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = evaluator_import(
                actor=person(request), study=study, name=data["name"], version=data["version"],
                source=data["source"], data=data["file"].read(BYTES_MAX + 1),
            )  # fmt: skip
        except DomainError as error:
            return _index(request, study, InterimForm(), error=error, evaluator_form=form, status=error.status)
        messages.success(request, f"{made} was imported.")
        return redirect("analysis_list", study.public_id)
    return _index(request, study, InterimForm(), evaluator_form=form, status=400)


@require_safe
@requires("analyses.view")
def analysis_detail(request: HttpRequest, analysis: uuid.UUID, section: str = "endpoints") -> HttpResponse:
    """One section of the result, or how far the computation is."""
    found = analysis_get(analysis, for_user=person(request))
    if not hasattr(found, "result"):
        return render(request, "reader_study/analysis_pending.html", {"analysis": found, "job": found.job})
    analysis_opened(actor=person(request), analysis=found)
    notes = request.GET.get("show") == "notes"
    return render(request, "reader_study/analysis_detail.html", _section(found, section) | {"show_notes": notes})


def _section(analysis: Analysis, section: str) -> dict[str, Any]:
    from reader_study.analysis_files import FILES
    from reader_study.report.figures import figure_list

    result = result_of(analysis)
    tables = result_tables(result)
    figures = [figure for figure in figure_list(result) if figure.section == section]
    titles = dict(SECTIONS)
    if section not in titles:
        raise Http404
    levels = [level["name"] for level in result["plan"]["levels"]]
    own = [table for table in tables if table.section == section]
    present = {table.section for table in tables}
    blocks = shown_tables(own, figures, levels, walk_links(analysis))
    return {
        "analysis": analysis, "study": analysis.study, "result": result, "section": section,
        "title": titles[section], "stamps": result["marks"]["words"],
        "sections": [(key, title) for key, title in SECTIONS if key in present],
        "blocks": blocks, "files": FILES,
        "has_notes": any(cell.note for block in blocks for row in block.rows for cell in row),
        "kinds": TABLE_KINDS, "figure_kinds": FIGURE_KINDS,
        "remarks": [row for row in result["remarks"] if not row["level"]] if section == "endpoints" else [],
    }  # fmt: skip
