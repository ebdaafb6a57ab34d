"""Small filters of the study pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

from reader_study.models import Study
from reader_study.selectors.studies import Progress, progress_of
from reader_study.views.shown import place_words

if TYPE_CHECKING:
    from reader_study.selectors.grid import Row

register = template.Library()


@register.filter
def count_state(row: Row, state: str) -> int:
    return sum(cell.state == state for cell in row.cells)


@register.filter
def place(path: str) -> str:
    """Where in the designer a problem is."""
    return place_words(path)


@register.filter
def progress(study: Study) -> Progress:
    return progress_of(study)
