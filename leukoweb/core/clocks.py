"""One clock for all machines where it matters: the database's."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

APART_WARN, APART_BAD = timedelta(seconds=5), timedelta(minutes=1)


def shared_now() -> datetime:
    """The time by which leases are given and taken, the same on every machine. On SQLite there is only one machine."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def clocks_apart() -> timedelta:
    """How far this machine's clock is ahead of the database's (negative: behind)."""
    before = timezone.now()
    shared = shared_now()
    return before + (timezone.now() - before) / 2 - shared
