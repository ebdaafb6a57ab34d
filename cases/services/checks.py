"""Turning Django's field errors and lost races into errors that people can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from cases.models import Patient
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.words import day_text


class Withdrawn(Conflict):
    """The patient was withdrawn: nothing may be added or changed."""

    code = "E_WITHDRAWN"


def require_valid(instance: models.Model) -> None:
    """Check every plain field by its own rules.

    Uniqueness is left to the database, which alone can be right; related rows come from the caller as objects.
    """
    try:
        instance.clean_fields(exclude={field.name for field in instance._meta.fields if field.is_relation})
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        value = getattr(instance, field, "")
        name = field.replace("_", " ")
        raise DomainError(f"{name} {str(value)[:80]!r}: {' '.join(messages)}", field=field) from error


def require_live(patient: Patient) -> None:
    if patient.withdrawn_at is not None:
        raise Withdrawn(
            f"Patient {patient.code} was withdrawn on {day_text(patient.withdrawn_at)}.",
            hint="A withdrawn patient takes no images, slides or corrections.",
        )


@contextmanager
def unique_or_conflict(message: str, *, field: str, hint: str = "") -> Iterator[None]:
    """A unique constraint that refuses becomes a Conflict with ``message``."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise Conflict(message, code="E_TAKEN", field=field, hint=hint) from error
