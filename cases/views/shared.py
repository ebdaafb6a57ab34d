"""What several pages need."""

from __future__ import annotations

from django import forms

from leukoweb.core.exceptions import DomainError


def add_errors(form: forms.BaseForm, error: DomainError) -> None:
    """Show a service's refusal at its field, or above the form if the field is not on it."""
    field = error.field if error.field in form.fields else None
    form.add_error(field, f"{error.message} {error.hint}".strip())
