"""Chores that the keeper queues once a day, as jobs that the Jobs page shows like any other."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.utils import timezone

from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job

EVERY = timedelta(hours=24)
_titles: dict[str, str] = {}


def register_daily(kind: str, title: str) -> None:
    """Called from an app's ``ready()``, after ``register_kind``."""
    _titles[kind] = title


def daily_create() -> list[uuid.UUID]:
    """Queue each chore whose last job is a day old, however it ended. Cheap; two keepers make one job."""
    since = timezone.now() - EVERY
    recent = set(Job.objects.filter(kind__in=_titles, created_at__gt=since).values_list("kind", flat=True))
    return [
        job_create(kind=kind, title=title, payload={}, actor=None, key=f"daily:{kind}").pk
        for kind, title in _titles.items()
        if kind not in recent
    ]
