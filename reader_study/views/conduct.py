"""Deeds that are signed: lock, amend, extend, replace, freeze, unblind, import."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import requires
from leukoweb.core.signing import SignatureForm
from reader_study import conduct_forms as forms
from reader_study.models import ProtocolVersion, Study
from reader_study.protocol import canonical, diff, dump_yaml, load_yaml, protocol_sha256
from reader_study.selectors.confounders import confounders
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.grid import session_lines
from reader_study.selectors.studies import protocol_current, study_get
from reader_study.selectors.washout import washout_warnings
from reader_study.services import conduct, guard, imports, locking
from reader_study.views.shown import protocol_sections

SIGNED = ["GET", "HEAD", "POST"]


def _page(
    request: HttpRequest, study: Study, form: SignatureForm, deed: Callable[[dict[str, Any], Any], Any], *,
    done: str, template: str = "reader_study/study_sign.html", **context: Any,
) -> HttpResponse:  # fmt: skip
    """Show the form; on POST do the deed with what was typed and the signature, or say why not."""
    if request.method == "POST" and form.is_valid():
        try:
            deed(form.cleaned_data, form.signed)
        except DomainError as error:
            add_errors(form, error)
            if error.code == "E_STALE" and "sha256" in context:  # what is shown now is what the next signature is for
                form.data = {**form.data, "sha256": context["sha256"]}
        else:
            messages.success(request, done)
            return redirect("study_detail", study.public_id)
    context |= {"study": study, "form": form}
    return render(request, template, context, status=400 if form.errors else 200)


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_lock(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    found = feasibility(study, study.draft)
    form = forms.LockForm(
        request.POST or None, request=request, initial={"sha256": protocol_sha256(study.draft)},
        meaning=guard.LOCK_MEANING,
    )  # fmt: skip
    return _page(
        request, study, form,
        lambda data, signature: locking.study_lock(
            actor=person(request), study=study, signature=signature, sha256=data["sha256"]
        ),
        done="The protocol is locked. Readers can be invited.", template="reader_study/study_lock.html",
        sections=protocol_sections(study.draft), found=found, report=confounders(study.draft, found.cases),
        sha256=protocol_sha256(study.draft),
    )  # fmt: skip


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_amend(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The locked protocol as a text to edit. ``Show changes`` signs nothing."""
    study = study_get(public_id, for_user=person(request))
    locked = _locked(study)
    if request.POST.get("do") == "preview":
        typed = {key: request.POST.get(key, "") for key in ("version", "protocol", "reason")}
        form = forms.AmendForm(request=request, meaning=guard.AMEND_MEANING, initial=typed)
        base = whole_number(typed["version"]) or 0
        shown = _preview(locked, base, study, typed["protocol"])
        context = {"study": study, "form": form, "previewed": True} | shown
        return render(request, "reader_study/study_amend.html", context)
    form = forms.AmendForm(
        request.POST or None, request=request, meaning=guard.AMEND_MEANING,
        initial={"protocol": dump_yaml(locked.document), "version": locked.version},
    )
    return _page(
        request, study, form,
        lambda data, signature: locking.protocol_amend(
            actor=person(request), study=study, base=data["version"], document=load_yaml(data["protocol"]),
            reason=data["reason"], signature=signature,
        ),
        done="The amendment is signed.", template="reader_study/study_amend.html",
    )  # fmt: skip


def _locked(study: Study) -> ProtocolVersion:
    locked = protocol_current(study)
    if locked is None:
        raise NotFound("This protocol is not locked yet.", hint="Edit the draft in the designer.")
    return locked


def _preview(locked: ProtocolVersion, base: int, study: Study, text: str) -> dict[str, Any]:
    try:
        locking.require_newest(locked, base)
        document = canonical(load_yaml(text))
    except DomainError as error:
        return {"refusal": error}
    before = locked.document
    return {"changes": diff(before, document), "problems": locking.amendment_refusals(study, before, document)}


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_extend(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    form = forms.ExtendForm(request.POST or None, request=request, initial={"closes_on": study.closes_on},
                            meaning=guard.AMEND_MEANING)  # fmt: skip
    return _page(
        request, study, form,
        lambda data, signature: conduct.study_extend(
            actor=person(request), study=study, closes_on=data["closes_on"], reason=data["reason"], signature=signature
        ),
        done="The last day of reading was moved.", title="Move the last day of reading", button="Sign and move",
        text="This is an amendment: the protocol gets a new version.",
    )  # fmt: skip


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def reader_replace(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    reader = study.readers.filter(pk=pk).first()
    if reader is None:
        raise NotFound("This study has no such reader.")
    form = forms.ReplaceForm(request.POST or None, request=request, initial={"label": f"{reader.label}b"},
                             meaning=guard.AMEND_MEANING)  # fmt: skip
    return _page(
        request, study, form,
        lambda data, signature: conduct.reader_replace(
            actor=person(request), reader=reader, replacement=form.replacement(), reason=data["reason"],
            signature=signature,
        ),
        done=f"{reader.label} was replaced.", title=f"Replace reader {reader.label}", button="Sign and replace",
        text="Sealed sessions stay as they are; unfinished ones become void. The new reader gets orders of their own.",
    )  # fmt: skip


def _end(
    request: HttpRequest, public_id: uuid.UUID, form_class: type[SignatureForm], meaning: str,
    service: Callable[..., Any], **words: str,
) -> HttpResponse:  # fmt: skip
    """A step towards the end of a study: a signed form whose fields are the service's arguments."""
    study = study_get(public_id, for_user=person(request))
    form = form_class(request.POST or None, request=request, meaning=meaning)
    own = [name for name in form.field_order or () if name in form.fields]

    def deed(data: dict[str, Any], signature: Any) -> Any:
        given = {name: data[name] for name in own}
        return service(actor=person(request), study=study, signature=signature, **given)

    return _page(request, study, form, deed, facts=session_lines(study), **words)


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_freeze(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _end(
        request, public_id, forms.FreezeForm, guard.FREEZE_MEANING, conduct.study_freeze,
        done="The data are frozen.", title="Freeze the data", button="Sign and freeze",
        text="After this nobody reads any more. The study stays blind until it is unblinded.",
    )  # fmt: skip


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_unblind(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _end(
        request, public_id, forms.UnblindForm, guard.UNBLIND_MEANING, conduct.study_unblind,
        done="The study is unblinded.", title="Unblind the study", button="Sign and unblind",
        text="This happens once and is on record with your reason. It cannot be taken back.",
    )  # fmt: skip


@sensitive_post_parameters("password", "code")
@require_http_methods(SIGNED)
@requires("studies.manage")
def study_import(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Readings of readers who read elsewhere. The whole file is checked before anything is stored."""

    def deed(data: dict[str, Any], signature: Any) -> None:
        file = data["readings"].read(imports.BYTES_MAX + 1)
        imports.readings_import(actor=person(request), study=study, data=file, signature=signature)
        for words in washout_warnings(study):
            messages.warning(request, words)

    study = study_get(public_id, for_user=person(request))
    form = forms.ReadingsFileForm(
        request.POST or None, request.FILES or None, request=request,
        meaning=guard.IMPORT_MEANING,
    )  # fmt: skip
    return _page(
        request, study, form, deed,
        done="The readings were imported.", template="reader_study/study_import.html", columns=imports.COLUMNS,
        waiting=imports.sessions_waiting(study),
    )  # fmt: skip
