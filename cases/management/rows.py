"""Rows by the names that a person types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cases.models import Cohort, SortingTask
from leukoweb.core.exceptions import NotFound

Row = TypeVar("Row", Cohort, SortingTask)


def cohorts_named(names: Sequence[str]) -> list[Cohort]:
    """Raises `NotFound` with the known names."""
    return [_named(Cohort, name, "cohort") for name in names]


def tasks_named(names: Sequence[str]) -> list[SortingTask]:
    """Raises `NotFound` with the known names."""
    return [_named(SortingTask, name, "sorting task") for name in names]


def _named(model: type[Row], name: str, what: str) -> Row:
    row = model.objects.filter(name=name).first()
    if row is None:
        known = ", ".join(model.objects.values_list("name", flat=True)[:20]) or "none yet"
        raise NotFound(f"There is no {what} {name[:80]!r}.", hint=f"Known: {known}.")
    return row
