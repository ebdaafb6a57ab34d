"""Studies: the list, one study with its grid, the readable protocol and its file."""

from __future__ import annotations

import uuid
from itertools import zip_longest

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases.views.shared import add_errors
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.http import person, whole_number
from leukoweb.core.mail import mail_configured
from leukoweb.core.models import User
from leukoweb.core.permissions import requires
from reader_study.conduct_forms import CoordinatorForm, StudyForm
from reader_study.models import Study
from reader_study.protocol import diff, dump_yaml
from reader_study.selectors.audit import study_turns
from reader_study.selectors.grid import study_grid
from reader_study.selectors.studies import PANEL, protocol_current, protocol_history, study_get, study_list
from reader_study.services import invitations, studies
from reader_study.views.shown import protocol_sections

YAML = "application/yaml; charset=utf-8"


@require_safe
@requires("studies.manage")
def study_index(request: HttpRequest) -> HttpResponse:
    return render(request, "reader_study/study_list.html", {"studies": study_list(person(request))})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.manage")
def study_create(request: HttpRequest) -> HttpResponse:
    form = StudyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            study = studies.study_create(actor=person(request), title=form.cleaned_data["title"])
        except DomainError as error:
            add_errors(form, error)
        else:
            return redirect("study_design", study.public_id)
    return render(request, "reader_study/study_create.html", {"form": form}, status=400 if form.errors else 200)


@require_safe
@requires("studies.manage")
def study_detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Where the study stands: the grid, and what can be done now."""
    study = study_get(public_id, for_user=person(request))
    codes, rows = study_grid(study)
    people = study.coordinators.order_by("username")
    context = {
        "study": study, "codes": codes, "rows": rows, "protocol": protocol_current(study),
        "turns": study_turns(study), "coordinators": people,
        "running": study.state in ("locked", "reading"), "frozen": study.state in ("frozen", "stopped"),
        "waiting": any(row.session.imported and row.session.state == "planned" for row in rows),
        "invited": invitations.invited(study), "mail": mail_configured(),
        "coordinator_form": CoordinatorForm(study=study),
        "readers": study.readers.exclude(label=PANEL).select_related("user", "replaced_by").order_by("label"),
    }  # fmt: skip
    return render(request, "reader_study/study_detail.html", context)


@require_safe
@requires("studies.manage")
def study_protocol(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The protocol as people read it, with every version and what each amendment changed."""
    study = study_get(public_id, for_user=person(request))
    versions = list(protocol_history(study))
    history = [
        (version, diff(before.document, version.document) if before else [])
        for version, before in zip_longest(versions, versions[1:])
    ]  # fmt: skip
    document = versions[0].document if versions else study.draft
    context = {"study": study, "sections": protocol_sections(document), "history": history}
    return render(request, "reader_study/study_protocol.html", context)


@require_safe
@requires("studies.manage")
def study_protocol_file(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    study = study_get(public_id, for_user=person(request))
    locked = protocol_current(study)
    response = HttpResponse(dump_yaml(locked.document if locked else study.draft), content_type=YAML)
    version = f"v{locked.version}" if locked else "draft"
    response["Content-Disposition"] = f'attachment; filename="protocol-{str(study.public_id)[:8]}-{version}.yaml"'
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.manage")
def study_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Asks, then deletes a draft that was never locked."""
    study = study_get(public_id, for_user=person(request))
    if study.state != Study.State.DRAFT:
        raise Conflict("A study that was locked is never deleted.", code="E_STATE")
    if request.method == "POST":
        version = whole_number(request.POST.get("draft_version"))
        studies.draft_delete(actor=person(request), study=study, version=-1 if version is None else version)
        messages.success(request, f"The draft “{study.title}” was deleted.")
        return redirect("study_list")
    others = study.coordinators.exclude(pk=person(request).pk).order_by("username")
    return render(request, "reader_study/study_delete.html", {"study": study, "others": others})


@require_POST
@requires("studies.manage")
def study_coordinators(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Add or take off a coordinator."""
    study = study_get(public_id, for_user=person(request))
    user = User.objects.filter(pk=whole_number(request.POST.get("user")) or 0).first()
    if user is None:
        raise DomainError("Choose a coordinator.", field="user")
    leaves = user == request.user and request.POST.get("do") == "remove"
    if leaves and request.POST.get("sure") != "yes":
        others = study.coordinators.exclude(pk=user.pk).order_by("username")
        return render(request, "reader_study/study_leave.html", {"study": study, "others": others})
    deed = studies.coordinator_remove if request.POST.get("do") == "remove" else studies.coordinator_add
    deed(actor=person(request), study=study, user=user)
    messages.success(request, f"The coordinators were changed ({user}).")
    return redirect("study_list") if user == request.user else redirect("study_detail", public_id)


@require_POST
@requires("studies.manage")
def study_invite(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Write to every reader who has something to read and was not written to, or once more to all."""
    study = study_get(public_id, for_user=person(request))
    address = request.build_absolute_uri("/read/")
    again = request.POST.get("again") == "yes"
    done = invitations.invitations_send(actor=person(request), study=study, address=address, again=again)
    if done.sent:
        messages.success(request, f"The mail server took the mails to {', '.join(done.sent)}.")
    if done.failed and mail_configured():
        messages.error(request, f"The mail server did not take the mails to {', '.join(done.failed)}. Try again later, "
                       "or tell an admin.")  # fmt: skip
    elif done.failed:
        messages.error(request, f"No mail was sent to {', '.join(done.failed)}: no mail server is set. Tell them "
                       f"yourself that they read at {address}")  # fmt: skip
    if done.without_address:
        messages.warning(request, f"No mail address is known of {', '.join(done.without_address)}.")
    if done.disabled:
        messages.warning(request, f"Disabled, so not written to: {', '.join(done.disabled)}. Replace them, or ask an "
                         "admin.")  # fmt: skip
    if done.before:
        messages.info(request, f"Invited before, so not written to again: {', '.join(done.before)}.")
    elif not (done.sent or done.failed or done.without_address or done.disabled):
        messages.warning(request, "Nobody has anything left to read, so nobody was written to.")
    return redirect("study_detail", public_id)
