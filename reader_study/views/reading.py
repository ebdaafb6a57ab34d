"""Pages of a reader: own sessions, consent and instructions, the board, the seal. Blind: see docs/blinding.md."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_safe

from leukoweb.core.exceptions import Conflict
from leukoweb.core.http import person
from leukoweb.core.mail import mail_configured
from leukoweb.core.permissions import requires
from leukoweb.core.signing import SignatureForm
from reader_study.forms import ConsentForm, UnlockForm
from reader_study.models import ReadingSession
from reader_study.selectors.contacts import with_contact
from reader_study.selectors.reading import class_line, home_sessions, session_counts, session_of
from reader_study.services.clock import NotOpenYet, require_may_open
from reader_study.services.readings import TextChanged, session_open
from reader_study.services.seals import MEANINGS, open_points, session_seal
from reader_study.views.blind import own_session, page, require_awake, wake

CONFIDENCES = ((1, "a guess"), (2, ""), (3, ""), (4, ""), (5, "certain"))


@require_safe
@requires("studies.read")
def reading_home(request: HttpRequest) -> HttpResponse:
    return render(request, "reader_study/reading_home.html", {"sessions": home_sessions(person(request))})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.read")
@page
def reading_start(request: HttpRequest, session: str) -> HttpResponse:
    """Consent and instructions first; before its time the page says when the session opens. Opens no locked desk."""
    [found] = with_contact([session_of(person(request), session, states=("planned", "open"))])
    if request.method == "POST":
        require_awake(request, found)
        if found.state == "open":
            return redirect("reading_board", session)
    form = ConsentForm(request.POST or None, needs_consent=found.state == "planned")
    context = {"session": found, "form": form, "rules": found.rules} | session_counts(found)
    try:
        require_may_open(found)
        if request.method == "POST" and form.is_valid():
            session_open(actor=person(request), session=found, **form.cleaned_data)
            wake(request)
            return redirect("reading_board", session)
    except TextChanged as error:
        [found] = with_contact([session_of(person(request), session, states=("planned",))])
        form = ConsentForm(needs_consent=True)  # nothing is ticked: the new text was not read yet
        context |= {"session": found, "form": form, "rules": found.rules, "changed": error}
        return render(request, "reader_study/reading_start.html", context, status=error.status)
    except NotOpenYet as error:
        status = 409 if request.method == "POST" else 200
        context |= {"error": error, "mail": mail_configured()}
        return render(request, "reader_study/reading_washout.html", context, status=status)
    except Conflict as error:  # the last day is over, or the clock was set back
        return _refused(request, "reader_study/reading_start.html", context, error)
    return render(request, "reader_study/reading_start.html", context, status=400 if form.errors else 200)


def _refused(request: HttpRequest, template: str, context: dict[str, Any], error: Conflict) -> HttpResponse:
    """The page again, with what the service said; the reader's own words stay in the form."""
    context["form"].add_error(None, f"{error.message} {error.hint}".strip())
    return render(request, template, context, status=error.status)


@require_safe
@requires("studies.read")
@page
def reading_board(request: HttpRequest, session: str) -> HttpResponse:
    [found] = with_contact([own_session(request, session)])
    classes = [class_line(name, key) for key, name in enumerate(found.rules["classes"], start=1)]
    context = {"session": found, "rules": found.rules, "classes": classes, "confidences": CONFIDENCES,
               "unlock": UnlockForm(request=request)} | session_counts(found)  # fmt: skip
    return render(request, "reader_study/reading_board.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.read")
@page
def reading_seal(request: HttpRequest, session: str) -> HttpResponse:
    """What is missing, or the signature. After it the session cannot be reached any more."""
    [found] = with_contact([own_session(request, session)])
    form = SignatureForm(request.POST or None, request=request, meaning=MEANINGS[ReadingSession.Arm(found.arm)])
    unanswered, unseen = open_points(found)
    blocked = bool(unanswered or (unseen and found.rules["require_all_viewed"]))
    context = {"session": found, "rules": found.rules, "form": form, "blocked": blocked, "unanswered": unanswered,
               "unseen": unseen, "n_cases": found.cases.count(),
               "n_gone": found.cases.exclude(gone_at=None).count()}  # fmt: skip
    if request.method == "POST" and form.is_valid() and form.signed is not None:
        try:
            session_seal(session=found, signature=form.signed)
        except Conflict as error:
            return _refused(request, "reader_study/reading_seal.html", context, error)
        messages.success(request, f"Session {found.number} is signed and sealed. Thank you.")
        return redirect("reading_home")
    return render(request, "reader_study/reading_seal.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("studies.read")
def reading_unlock(request: HttpRequest) -> HttpResponse:
    """The password again after the idle limit. Everything is where it was."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = target.startswith("/read/") and url_has_allowed_host_and_scheme(target, None)
    form = UnlockForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        wake(request)
        return redirect(target if safe else "reading_home")
    context = {"form": form, "next": target if safe else ""}
    return render(request, "reader_study/reading_unlock.html", context, status=400 if form.errors else 200)
