"""Forms of the reader's pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.signing import ProofForm, SignatureRefused, code_field, has_confirmed, password_field, signature


class ConsentForm(forms.Form):
    """The time zone comes from the browser; dates are then said in it. ``version``: of the protocol that was shown."""

    agreed = forms.BooleanField(
        required=False, label="I have read this, I take part of my own will, and I will read on my own."
    )
    time_zone = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, needs_consent: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["agreed"].required = needs_consent
        self.fields["agreed"].error_messages["required"] = "Tick that you have read this and agree."


class UnlockForm(ProofForm):
    """The locked desk opens in every way in which its reader may sign."""

    password = password_field()
    code = code_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for first in list(self.fields.values())[:1]:
            first.widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        try:
            unlock(self.request, password=data.get("password", ""), code=data.get("code", ""))
        except DomainError as error:
            self.add_error(error.field if error.field in self.fields else None, error.message)
        return data


def unlock(request: HttpRequest, *, password: str, code: str) -> None:
    """Check who sits here, in every way in which one may sign.

    Raises
    ------
    SignatureRefused
        A wrong password or code, or none and no fresh confirmation.
    """
    if not password and not code and not has_confirmed(request):
        raise SignatureRefused("The desk opens when you prove who you are, in one of these ways.", field="password")
    signature(request, name=person(request).username, meaning="unlock", password=password, code=code)
