"""Studies as their coordinators see them. Nobody else sees any."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User
from reader_study.models import ProtocolVersion, ReadingSession, Study
from reader_study.protocol.document import PANEL as PANEL

_STATE = ReadingSession.State
_RUNNING = (Study.State.LOCKED, Study.State.READING)


@dataclass(frozen=True)
class Progress:
    """Where a study stands. ``state`` is the stored one, or ``reading`` once somebody has begun.

    A reader's request may not write studies, so that reading has begun is derived from the sessions; void ones and the
    panel's do not count.
    """

    state: str
    words: str
    n_sessions: int
    n_open: int
    n_sealed: int


def with_counts(studies: QuerySet[Study]) -> QuerySet[Study]:
    """With the numbers that ``progress_of`` needs, so that it asks nothing more."""
    real = ~Q(readers__label=PANEL)

    def count(*states: str) -> Count:
        chosen = real & Q(readers__sessions__state__in=states)
        return Count("readers__sessions", filter=chosen, distinct=True)

    return studies.annotate(
        n_readers=Count("readers", filter=real, distinct=True),
        n_sessions=Count("readers__sessions", filter=real, distinct=True),
        n_open=count(_STATE.OPEN), n_sealed=count(_STATE.SEALED), n_void=count(_STATE.VOID),
    )  # fmt: skip


def progress_of(study: Study) -> Progress:
    """1 query, or none if the study came ``with_counts``."""
    if not hasattr(study, "n_open"):
        study = with_counts(Study.objects.filter(pk=study.pk)).get()
    counts: Any = study
    total, begun = counts.n_sessions - counts.n_void, counts.n_open + counts.n_sealed
    state, words = study.state, study.get_state_display()
    if state in _RUNNING and begun:
        state, words = Study.State.READING.value, f"Being read: {counts.n_sealed} of {total} sessions sealed"
        if counts.n_sealed == total:
            words = f"Read: all {total} sessions sealed" if total > 1 else "Read: the session is sealed"
    return Progress(state, words, total, counts.n_open, counts.n_sealed)


def study_list(for_user: User) -> QuerySet[Study]:
    """The studies that this person coordinates, newest first, with counts of sessions by state. 1 query."""
    return with_counts(Study.objects.filter(coordinators=for_user)).select_related("cohort").order_by("-id")


def study_get(public_id: uuid.UUID | str, *, for_user: User) -> Study:
    """One study of this coordinator; anybody else's is as unknown as one that does not exist."""
    mine = with_counts(Study.objects.filter(public_id=public_id, coordinators=for_user))
    study = mine.select_related("cohort").first()
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
