"""What a person who reads would lose with another role, in words, before it is lost."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Prefetch

from leukoweb.core.models import Role, User
from reader_study.models import ReadingSession, SessionCase, Study
from reader_study.selectors.reading import is_answered


def sessions_that_would_end(*, user: User, role: str) -> list[str]:
    """``session 1 of “Smears of spring” (41 of 64 cases answered)`` for each unfinished session. 2 queries."""
    if role == Role.PATHOLOGIST:
        return []
    cases = Prefetch("cases", SessionCase.objects.select_related("draft").order_by("position"))
    unfinished = (ReadingSession.State.PLANNED, ReadingSession.State.OPEN)
    mine = ReadingSession.objects.filter(reader__user=user, reader__withdrawn_at=None, state__in=unfinished)
    found = mine.select_related("reader__study").prefetch_related(cases).order_by("reader__study", "number")
    return [f"session {session.number} of “{session.reader.study.title}” ({_how_far(session)})" for session in found]


def studies_left_alone(*, user: User, role: str = "") -> list[str]:
    """Studies that no other active coordinator runs. ``role``: the new one; empty where the person is disabled.

    Nobody could replace a reader, freeze, or even name another coordinator, and the readers' questions would go
    nowhere. 1 query.
    """
    if role == Role.COORDINATOR or user.role != Role.COORDINATOR:
        return []
    others = Study.coordinators.through.objects.filter(
        study=OuterRef("pk"), user__is_active=True, user__role=Role.COORDINATOR
    ).exclude(user=user)
    mine = Study.objects.filter(~Exists(others), coordinators=user).order_by("title")
    return [f"the study “{title}”, which nobody else coordinates" for title in mine.values_list("title", flat=True)]


def _how_far(session: ReadingSession) -> str:
    if session.state == ReadingSession.State.PLANNED:
        return "not begun"
    cases = list(session.cases.all())
    return f"{sum(is_answered(case, session.rules) for case in cases)} of {len(cases)} cases answered"
