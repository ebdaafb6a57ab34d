"""Dates in the reader's time zone."""

from __future__ import annotations

from datetime import datetime

from django import template

from reader_study.services.clock import date_text

register = template.Library()


@register.filter
def reader_date(at: datetime, zone: str) -> str:
    return date_text(at, zone)
