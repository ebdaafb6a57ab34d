"""Small words for people: counts, days and times, always in one form."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.utils import timezone

NONE = "-"
"""What stands where a value is not defined or not known, on pages as in reports."""


def counted(n: int, noun: str, plural: str = "") -> str:
    """``counted(1, "image")`` is "1 image", ``counted(0, "image")`` "0 images"; odd plurals are given."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def day_text(at: date | None) -> str:
    """``2026-11-26``; of a moment the day in the installation's time zone."""
    if at is None:
        return NONE
    return f"{timezone.localtime(at) if isinstance(at, datetime) else at:%Y-%m-%d}"


def clock_text(at: datetime | None) -> str:
    """``14:02:11 UTC``, the time of day in the installation's time zone."""
    return NONE if at is None else f"{timezone.localtime(at):%H:%M:%S} {zone_text(at)}"


def when_text(at: datetime | None, *, seconds: bool = False) -> str:
    """``2026-11-26 14:02 UTC``, in the installation's time zone, which is named."""
    if at is None:
        return NONE
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M}{local.strftime(':%S') if seconds else ''} {zone_text(at)}"


def zone_text(at: datetime) -> str:
    """What the installation's zone is called at this moment: ``UTC``, ``CEST``, ``UTC+03`` where it has no name."""
    name = timezone.localtime(at).strftime("%Z")
    return f"UTC{name}" if name[:1] in "+-" else name


def span_text(span: timedelta) -> str:
    """``3 days``, ``1 hour``, ``less than a minute``: the largest unit, whole ones. Seconds are not told: how long a
    cascade took hints at what it found (ADR 0300)."""
    minutes = int(span.total_seconds() // 60)
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            return counted(minutes // size, unit)
    return "less than a minute"
