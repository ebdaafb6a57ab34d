"""Sorting for those who sort: the list of one's tasks, the board."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cases.models import Exclusion, SortingSeat
from cases.selectors import sorting_queue
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.permissions import has_action, requires

PLACEHOLDER = uuid.UUID("00000000-0000-4000-8000-000000000000")  # the board puts an image's id in its place


@require_safe
@requires("home.view")
def sorting_home(request: HttpRequest) -> HttpResponse:
    """One's own seats, and all tasks for staff."""
    user = person(request)
    staff = has_action(user, "sorting.manage") or has_action(user, "sorting.agreement")
    context = {
        "seats": sorting_queue.seats_of(user) if has_action(user, "sorting.sort") else [],
        "tasks": sorting_queue.task_list() if staff else [],
        "staff": staff,
    }
    return render(request, "cases/sorting_home.html", context)


@require_safe
@requires("sorting.sort")
def sorting_board(request: HttpRequest, task_id: uuid.UUID) -> HttpResponse:
    seat = sorting_queue.seat_get(person(request), task_id)
    if seat.task.closed_at is not None:
        raise DomainError(
            f"The task {seat.task} is closed.", code="E_CLOSED", hint="What was decided is kept; nothing can be added."
        )
    context = {
        "task": seat.task,
        "labels": seat.task.taxonomy.labels,
        "adjudicates": seat.part == SortingSeat.Part.ADJUDICATOR,
        "reasons": Exclusion.Reason.choices,
        "placeholder": PLACEHOLDER,
        "owner": sorting_queue.seat_owner(seat),  # nobody else's page finds these decisions on a shared computer
    }
    return render(request, "cases/sorting_board.html", context)
