"""Dates in the reader's time zone."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from reader_study.models import ReadingSession
from reader_study.services.clock import LastDay, date_text
from reader_study.services.clock import last_day as last_day_of

register = template.Library()


@register.filter
def reader_date(at: datetime, zone: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', at.isoformat(timespec="seconds"), date_text(at, zone))


@register.filter
def last_day(session: ReadingSession) -> LastDay | None:
    """The last day of reading for this session now. Its ``reader`` has to be loaded."""
    return last_day_of(session, timezone.now())
