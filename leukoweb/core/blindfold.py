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


Row = TypeVar("Row", bound=models.Model)


class BlindfoldManager(models.Manager[Row]):
    """Leaves hidden patients' rows out. ``path`` leads from the table to the patient's id."""

    path = "patient_id"

    def get_queryset(self) -> models.QuerySet[Row]:
        rows = super().get_queryset()
        hidden = hidden_patients()
        return rows.exclude(**{f"{self.path}__in": sorted(hidden)}) if hidden else rows


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
