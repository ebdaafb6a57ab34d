"""Dates in the reader's time zone."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from reader_study.services.clock import date_text

register = template.Library()


@register.filter
def reader_date(at: datetime, zone: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', at.isoformat(timespec="seconds"), date_text(at, zone))
