"""What apps above know of a slide, for the columns and filters of a cohort's page. They register; none is imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.db.models import QuerySet

from cases.models import Cohort, Slide
from leukoweb.core.blindfold import hidden_patients


@dataclass(frozen=True)
class SlideState:
    """``tone`` is the ending of a ``status-`` class."""

    words: str
    tone: str = ""


class SlideStates(Protocol):
    """One column. What it says must be for everybody: never a result (ADR 0300)."""

    title: str
    choices: Sequence[tuple[str, str]]

    def of(self, slides: Collection[int]) -> Mapping[int, SlideState]:
        """The state of each slide (by id) of one page; constant queries. Empty: there is nothing to tell just now."""

    def narrow(self, rows: QuerySet[Slide], cohort: Cohort, choice: str) -> QuerySet[Slide]:
        """The slides of a cohort whose state is ``choice``, for all of it at once."""


_columns: dict[str, SlideStates] = {}


def register_slide_states(name: str, states: SlideStates) -> None:
    """For apps above, from their ``ready()``. ``name`` is the filter's name in the address."""
    _columns[name] = states


def slide_columns() -> dict[str, SlideStates] | None:
    """By name; None for a person from whom patients are hidden: what became of slides is not theirs to see."""
    return None if hidden_patients() else dict(_columns)
