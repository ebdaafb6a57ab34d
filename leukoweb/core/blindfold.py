"""Patients whom the person behind this request may not see: for them these rows are simply not there.

One place for every list, page, picture, table and API answer: the default managers of all tables that lead to a patient
leave the hidden ones out, so a view cannot forget it, and a hidden row answers like one that never was. Who is
hidden from whom is said from above (``reader_study.middleware``); outside of a request nothing is hidden.

Jobs name slides and tell that a result exists, so a person from whom patients are hidden sees the own jobs only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import TypeVar

from django.db import models

Hidden = Callable[[], Collection[int]]
Row = TypeVar("Row", bound=models.Model)
_hidden: ContextVar[Hidden | None] = ContextVar("hidden_patients", default=None)
_person: ContextVar[Callable[[], int | None]] = ContextVar("person", default=lambda: None)


def put_on(hidden: Hidden, person: Callable[[], int | None]) -> None:
    """From now on the patients (ids) that ``hidden`` returns are left out. It is asked once, at the first need."""
    known: list[frozenset[int]] = []

    def once() -> Collection[int]:
        if not known:
            known.append(frozenset(hidden()))
        return known[0]

    _hidden.set(once)
    _person.set(person)


def lift() -> None:
    _hidden.set(None)


def hidden_patients() -> Collection[int]:
    """Ids of the patients whom the person behind this request may not see."""
    hidden = _hidden.get()
    return hidden() if hidden else ()


def hides_any(patients: Collection[int] | models.QuerySet[Row]) -> bool:
    """Whether one of ``patients`` (ids, or their rows unfiltered) is hidden: what is worked out from them would look
    whole and not be it."""
    hidden = hidden_patients()
    if not hidden:
        return False
    if isinstance(patients, models.QuerySet):
        return patients.filter(among("pk", hidden)).exists()
    return not frozenset(hidden).isdisjoint(patients)


MOST_RUNS = 100


def among(path: str, ids: Collection[int]) -> models.Q:
    """Rows whose ``path`` is one of ``ids``, said as runs of consecutive numbers where that is shorter.

    A whole cohort is hidden from its sorters, and its patients got their numbers one after the other: 10,000 values in
    every query cost more than all the rest of a page.
    """
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    if len(runs) > MOST_RUNS:
        return models.Q(**{f"{path}__in": sorted(ids)})
    found = models.Q()
    for first, last in runs:
        found |= models.Q(**{f"{path}__gte": first, f"{path}__lte": last})
    return found


class BlindfoldManager(models.Manager[Row]):
    """Leaves hidden patients' rows out. ``path`` leads from the table to the patient's id."""

    path = "patient_id"

    def get_queryset(self) -> models.QuerySet[Row]:
        rows = super().get_queryset()
        hidden = hidden_patients()
        return rows.exclude(among(self.path, hidden)) if hidden else rows


class HidesPatients(BlindfoldManager[Row]):
    path = "id"


class HidesByPatient(BlindfoldManager[Row]):
    path = "patient_id"


class HidesBySlide(BlindfoldManager[Row]):
    path = "slide__patient_id"


class HidesByImage(BlindfoldManager[Row]):
    path = "image__slide__patient_id"


class OwnJobs(models.Manager[Row]):
    """All jobs; for a person from whom patients are hidden the own ones."""

    def get_queryset(self) -> models.QuerySet[Row]:
        rows = super().get_queryset()
        return rows.filter(created_by_id=_person.get()()) if hidden_patients() else rows
