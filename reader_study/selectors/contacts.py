"""Whom a reader can ask: names and addresses of coordinators, and nothing else of a study."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F

from leukoweb.core.models import Role, User
from reader_study.models import ReadingSession


def with_contact(sessions: Iterable[ReadingSession]) -> list[ReadingSession]:
    """With ``ask``: names and mail addresses of who coordinates the session's study. 1 query.

    Their ``reader`` has to be loaded. Everything else of a study is out of a blind request's reach.
    """
    found = list(sessions)
    studies = {session.reader.study_id for session in found}
    asked = User.objects.filter(coordinated_studies__in=studies, is_active=True, role=Role.COORDINATOR)
    people: dict[int, list[User]] = {}
    for one in asked.annotate(study=F("coordinated_studies")).order_by("username"):
        people.setdefault(one.study, []).append(one)
    for session in found:
        session.ask = [(str(user), user.email) for user in people.get(session.reader.study_id, [])]  # type: ignore[attr-defined]
    return found
