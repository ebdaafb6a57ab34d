"""Forms of the reader's pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.signing import signature


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


class UnlockForm(forms.Form):
    password = forms.CharField(
        required=False, label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )  # fmt: skip
    code = forms.CharField(required=False, max_length=20, label="Or the code of your authenticator app")

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

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
        A wrong password or code, or none.
    """
    signature(request, name=person(request).username, meaning="unlock", password=password, code=code)
