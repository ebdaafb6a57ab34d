"""Help: the work of each role step by step, and the words of results explained. The same for everybody, always."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leukoweb.core.glossary import GROUPS
from leukoweb.core.help_steps import STEPS
from leukoweb.core.http import person
from leukoweb.core.models import Role
from leukoweb.core.permissions import requires


@require_safe
@requires("home.view")
def help_home(request: HttpRequest) -> HttpResponse:
    """The own role's steps with links; those of the others to read."""
    own = Role(person(request).role)
    others = [(role.label, steps) for role, steps in STEPS.items() if role != own]
    return render(request, "core/help.html", {"own": own.label, "steps": STEPS[own], "others": others})


@require_safe
@requires("home.view")
def help_words(request: HttpRequest) -> HttpResponse:
    return render(request, "core/help_words.html", {"groups": GROUPS})
