"""Studies as their coordinators see them. Nobody else sees any."""

from __future__ import annotations

import uuid

from django.db.models import Count, Q, QuerySet

from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User
from reader_study.models import ProtocolVersion, ReadingSession, Study

_STATE = ReadingSession.State


def study_list(for_user: User) -> QuerySet[Study]:
    """The studies that this person coordinates, newest first, with counts of sessions by state. 1 query."""
    sessions = Count("readers__sessions", distinct=True)
    return (
        Study.objects.filter(coordinators=for_user)
        .annotate(
            n_readers=Count("readers", distinct=True),
            n_sessions=sessions,
            n_sealed=Count(
                "readers__sessions", filter=Q(readers__sessions__state=_STATE.SEALED), distinct=True
            ),
            n_void=Count("readers__sessions", filter=Q(readers__sessions__state=_STATE.VOID), distinct=True),
        )
        .select_related("cohort")
        .order_by("-id")
    )  # fmt: skip


def study_get(public_id: uuid.UUID | str, *, for_user: User) -> Study:
    """One study of this coordinator; anybody else's is as unknown as one that does not exist."""
    study = Study.objects.filter(public_id=public_id, coordinators=for_user).select_related("cohort").first()
    if study is None:
        raise NotFound("There is no such study among yours.", hint="Go back to the list of studies.")
    return study


def protocol_current(study: Study) -> ProtocolVersion | None:
    """The newest locked protocol."""
    return study.protocols.select_related("signed_by").order_by("-version").first()


def reading_started(study: Study) -> bool:
    """Whether anybody has opened a session (or readings were imported)."""
    sessions = ReadingSession.objects.filter(reader__study=study)
    return sessions.filter(Q(opened_at__isnull=False) | Q(state__in=[_STATE.OPEN, _STATE.SEALED])).exists()


def protocol_history(study: Study) -> QuerySet[ProtocolVersion]:
    """All locked versions, the newest first."""
    return study.protocols.select_related("signed_by").order_by("-version")
