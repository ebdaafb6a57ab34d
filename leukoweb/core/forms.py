from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from leukoweb.core.exceptions import DomainError
from leukoweb.core.mail import mail_configured
from leukoweb.core.models import Role
from leukoweb.core.services.users import NAME_MAX


def data_of(form: forms.BaseForm) -> dict[str, Any]:
    """What the person sent, for forms whose page cannot show errors beside a field.

    Raises
    ------
    DomainError
        The first thing that is wrong, with the name of its field.
    """
    for name, errors in form.errors.items():
        label = form[name].label if name in form.fields else ""
        message = f"{label}: {errors[0]}" if label else str(errors[0])
        raise DomainError(message, field=name, hint="Nothing was changed. Go back and correct it.")
    return form.cleaned_data


def text_of(value: str, label: str) -> str:
    """What was typed into a field of no form, as a form would clean it: a NUL is an error to PostgreSQL.

    Raises
    ------
    DomainError
        It cannot be stored; ``label`` says which field.
    """
    try:
        return str(forms.CharField(required=False).clean(value))
    except ValidationError as error:
        raise DomainError(f"{label}: {error.messages[0]}", hint="Type it again.") from error


class UserForm(forms.Form):
    username = forms.CharField(max_length=NAME_MAX, help_text="For signing in")
    full_name = forms.CharField(max_length=NAME_MAX, required=False)
    email = forms.EmailField(
        required=False, max_length=254,
        help_text="Optional. Invitations to studies and reminders go there; the sign-in link does not.",
    )  # fmt: skip
    role = forms.ChoiceField(choices=Role.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not mail_configured():
            self.fields["email"].help_text = "Optional. No mail server is set, so nothing is sent to it yet."


class EmailForm(forms.Form):
    email = forms.EmailField(required=False, max_length=254)


class NameForm(forms.Form):
    full_name = forms.CharField(required=False, max_length=NAME_MAX, label="Name")


class PasswordForm(forms.Form):
    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}), label="New password",
        help_text="At least 10 characters.",
    )  # fmt: skip
    again = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), label="The same again")

    def clean(self) -> dict[str, str]:
        data = super().clean() or {}
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "The two passwords differ.")
        return data
