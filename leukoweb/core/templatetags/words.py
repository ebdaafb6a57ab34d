"""How pages print days, times, counts and estimates: one form each. Built into every template (no ``load``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from leukoweb.core import words
from leukoweb.core.glossary import HEADINGS
from leukoweb.statistics.ratings_report import p_text, printed

register = template.Library()
TIME = '<time datetime="{}">{}</time>'


@register.filter
def when(at: datetime | None, absent: str = words.NONE) -> SafeString | str:
    """``2026-11-26 14:02 UTC`` in a ``time`` element; ``absent`` where there is none."""
    return format_html(TIME, _iso(at), words.when_text(at)) if at else absent


@register.filter
def when_seconds(at: datetime | None, absent: str = words.NONE) -> SafeString | str:
    """``2026-11-26 14:02:11 UTC``"""
    return format_html(TIME, _iso(at), words.when_text(at, seconds=True)) if at else absent


@register.filter
def clock(at: datetime | None, absent: str = words.NONE) -> SafeString | str:
    """``14:02:11 UTC``"""
    return format_html(TIME, _iso(at), words.clock_text(at)) if at else absent


@register.filter
def day(at: date | None, absent: str = words.NONE) -> SafeString | str:
    """``2026-11-26``"""
    return format_html(TIME, words.day_text(at), words.day_text(at)) if at else absent


@register.filter
def lasted(since: datetime, until: datetime | None = None) -> str:
    """``{{ job.started_at|lasted:job.finished_at }}``: less than a minute, 3 hours; until now if it has not ended."""
    return words.span_text((until or timezone.now()) - since)


@register.filter
def when_text(at: datetime | None) -> str:
    """The words of ``when`` alone, for titles and attributes."""
    return words.when_text(at)


@register.filter
def counted(n: int, noun: str) -> str:
    """``{{ n|counted:"case" }}``: 1 case, 2 cases. ``"box,boxes"`` gives an odd plural."""
    one, _, many = noun.partition(",")
    return words.counted(n, one, many)


@register.filter
def number(value: float | None, digits: int = 2) -> str:
    """So many decimals, half up; a dash where it is not defined."""
    return printed(_finite(value), digits)


@register.filter
def p_value(value: float | None) -> str:
    """Three decimals, ``<0.001`` below that."""
    return p_text(_finite(value))


@register.filter
def estimate(found: Any, digits: int = 2) -> SafeString | str:
    """``0.81 (0.70 to 0.90)``: an estimate and its interval, printed as in the reports (decision 0050).

    ``found`` is an ``Estimate`` of the statistics or its JSON. Without an interval it says why, if that is known.
    """
    if not found:
        return words.NONE
    get = found.get if isinstance(found, Mapping) else lambda name: getattr(found, name, None)
    value, low, high = (_finite(get(name)) for name in ("estimate", "low", "high"))
    note = get("note") or ""
    if value is None:
        return format_html('- <span class="interval">({})</span>', note) if note else words.NONE
    if low is None or high is None:
        limits = f"no interval: {note}" if note else "no interval"
    else:
        limits = f"{printed(low, digits)} to {printed(high, digits)}"
    return format_html('{} <span class="interval">({})</span>', printed(value, digits), limits)


@register.filter
def term(heading: str) -> SafeString | str:
    """A heading that the glossary explains becomes a link to the explanation; any other stays as it is."""
    key = HEADINGS.get(str(heading).lower())
    if key is None:
        return heading
    return format_html('<a class="term" href="{}#{}">{}</a>', reverse("help_words"), key, heading)


def _finite(value: float | None) -> float | None:
    """None for what is not defined. A string is a template's missing value."""
    return None if value is None or isinstance(value, str) or not math.isfinite(value) else float(value)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
