"""Events in studies: their details and names are for those who coordinate them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.urls import reverse

from leukoweb.core.audit_targets import Named, named_rows, row_number
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.permissions import has_action
from reader_study.models import Analysis, ReadingSession, Study

TURNS = {"study.freeze": "Frozen", "study.stop": "Stopped early", "study.unblind": "Unblinded"}


@dataclass(frozen=True, slots=True)
class Turn:
    """A point of no return of a study: who, when and why."""

    words: str
    at: datetime
    who: str
    reason: str


def study_turns(study: Study) -> list[Turn]:
    """When the study was frozen, stopped or unblinded, in that order. 1 query."""
    events = AuditEvent.objects.filter(target=f"study:{study.pk}", action__in=TURNS).order_by("id")
    return [Turn(TURNS[event.action], event.at, event.actor_name, event.reason) for event in events]


def _own(user: User) -> QuerySet[Study]:
    return Study.objects.filter(coordinators=user) if has_action(user, "studies.manage") else Study.objects.none()


def _targets(studies: Iterable[Study]) -> list[str]:
    """The studies, their sessions and their analyses, by every name that events give them. 2 queries."""
    found = list(studies)
    sessions = ReadingSession.objects.filter(reader__study__in=found).values_list("pk", flat=True)
    analyses = Analysis.objects.filter(study__in=found).values_list("public_id", flat=True)
    targets = [f"study:{key}" for study in found for key in (study.pk, study.public_id)]
    return targets + [f"session:{pk}" for pk in sessions] + [f"analysis:{key}" for key in analyses]


def own_studies(user: User) -> Q:
    """Events of the studies that this person coordinates, their sessions and analyses. At most 3 queries.

    A draft that was deleted is nobody's any more; that it was, with its title, stays with who deleted it.
    """
    if not has_action(user, "studies.manage"):
        return Q(pk__in=[])
    return Q(target__in=_targets(_own(user))) | Q(action="study.delete", actor=user)


def study_parts(user: User, key: str) -> list[str]:
    """What belongs to the history of an own study; nothing for anybody else's."""
    number = row_number(key)
    return [] if number is None else _targets(_own(user).filter(pk=number))


def study_names(user: User, keys: list[str]) -> dict[str, Named]:
    return named_rows(_own(user), keys, "study_detail", lambda row: f"study {row}", by="public_id")


def session_names(user: User, keys: list[str]) -> dict[str, Named]:
    sessions = ReadingSession.objects.filter(reader__study__in=_own(user)).select_related("reader__study")
    numbers = [number for key in keys if (number := row_number(key)) is not None]
    found = {str(row.pk): row for row in sessions.filter(pk__in=numbers)}
    return {
        key: Named(
            f"{row.reader.label}, session {row.number} of {row.reader.study}",
            reverse("study_detail", args=[row.reader.study.public_id]),
        )
        for key, row in found.items()
    }


def analysis_names(user: User, keys: list[str]) -> dict[str, Named]:
    analyses = Analysis.objects.filter(study__in=_own(user)).select_related("study")
    return named_rows(analyses, keys, "analysis_detail", lambda row: f"analysis of {row.study}", by="public_id")
