"""Electronic signatures: who signs proves again who they are, at that moment, whichever way they sign in.

A password or a one-time code is asked for on the signing form itself. People who have neither (passkey, identity
provider) confirm through allauth first; such a confirmation counts for one signature within five minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.base.forms import BaseAuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from leukoweb.core.exceptions import NotAllowed
from leukoweb.core.http import person
from leukoweb.core.models import User

_USED = "signature_confirmation_used"


class SignatureRefused(NotAllowed):
    code = "E_SIGNATURE"


@dataclass(frozen=True)
class Signature:
    """Made by `signature` alone. ``method`` is how the person proved who they are; the time is the row's own.

    ``user`` is None only where the program itself locks a demonstration.
    """

    user: User | None
    name: str
    meaning: str
    method: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "meaning": self.meaning, "method": self.method}


def password_field() -> forms.CharField:
    return forms.CharField(
        required=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), label="Your password"
    )


def code_field() -> forms.CharField:
    return forms.CharField(
        required=False, max_length=20, label="Code of your authenticator app, or a recovery code",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )  # fmt: skip


class ProofForm(forms.Form):
    """Where somebody proves again who they are. A subclass has the fields ``password`` and ``code``; which of them is
    asked for, and which other ways there are, depends on what the person has."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request, self.user = request, person(request)
        kinds = _authenticators(self.user)
        if not self.user.has_usable_password():
            del self.fields["password"]
        if not kinds & {Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES}:
            del self.fields["code"]

    @property
    def confirm_links(self) -> list[tuple[str, str]]:
        """(address, words) of the other ways to confirm who one is, which come back to this page."""
        back = urlencode({"next": self.request.get_full_path()})
        links = []
        if Authenticator.Type.WEBAUTHN in _authenticators(self.user):
            links.append((f"{reverse('mfa_reauthenticate_webauthn')}?{back}", "Confirm with a passkey"))
        for account in SocialAccount.objects.filter(user=self.user):
            provider = account.get_provider(self.request)
            again = provider.get_login_url(self.request, next=self.request.get_full_path())
            links.append((again, f"Sign in again with {provider.name}"))
        return links

    @property
    def confirmed(self) -> bool:
        return has_confirmed(self.request)


class SignatureForm(ProofForm):
    """The fields under a document that is signed."""

    signed_name = forms.CharField(max_length=200, label="Your full name")
    password = password_field()
    code = code_field()
    agree = forms.BooleanField(label="I sign this")

    def __init__(self, *args: Any, request: HttpRequest, meaning: str, **kwargs: Any) -> None:
        super().__init__(*args, request=request, **kwargs)
        self.meaning = meaning
        self.fields["signed_name"].initial = self.user.get_full_name()
        self.fields["agree"].label = meaning
        self.signed: Signature | None = None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self.signed = signature(
                    self.request, name=data["signed_name"], meaning=self.meaning, password=data.get("password", ""),
                    code=data.get("code", ""),
                )  # fmt: skip
            except SignatureRefused as refused:
                field = refused.field if refused.field in self.fields else None
                self.add_error(field, f"{refused.message} {refused.hint}".strip())
        return data


def signature(request: HttpRequest, *, name: str, meaning: str, password: str = "", code: str = "") -> Signature:
    """Check who signs and return the signature.

    Raises
    ------
    SignatureRefused
        No name, a wrong password or code, too many attempts, or no fresh confirmation.
    """
    user = person(request)
    if not name.strip():
        raise SignatureRefused("A signature needs the signer's name.", field="signed_name")
    if password:
        method = _by_password(user, password)
    elif code:
        method = _by_code(user, code)
    else:
        method = _by_confirmation(request, user)
    return Signature(user, name.strip()[:200], meaning, method)


def _authenticators(user: User) -> set[str]:
    return set(Authenticator.objects.filter(user=user).values_list("type", flat=True))


def _by_password(user: User, password: str) -> str:
    try:
        right = user.has_usable_password() and get_adapter().reauthenticate(user, password)
    except ValidationError as error:  # too many attempts
        raise SignatureRefused(" ".join(error.messages), field="password") from error
    if not right:
        raise SignatureRefused("The password is not right.", field="password", hint="Nothing was signed.")
    return "password"


def _by_code(user: User, code: str) -> str:
    form = BaseAuthenticateForm({"code": code}, user=user)
    if not form.is_valid():
        words = " ".join(error for errors in form.errors.values() for error in errors)
        raise SignatureRefused(words, field="code", hint="Nothing was signed.")
    form.authenticator.record_usage()
    return str(form.authenticator.type)


def _fresh_confirmation(request: HttpRequest, user: User) -> dict[str, Any] | None:
    """The newest confirmation through allauth, if it is recent and no signature has used it."""
    after = max(time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT, request.session.get(_USED, 0.0))
    found = [
        record
        for record in get_authentication_records(request, user)
        if (record.get("reauthenticated") or record["method"] == "socialaccount") and record["at"] > after
    ]
    return found[-1] if found else None


def has_confirmed(request: HttpRequest) -> bool:
    """Whether the person behind the request confirmed a moment ago who they are, and nothing has used that yet."""
    return _fresh_confirmation(request, person(request)) is not None


def _by_confirmation(request: HttpRequest, user: User) -> str:
    record = _fresh_confirmation(request, user)
    if record is None:
        raise SignatureRefused(
            "Signing asks for your password, a code or a fresh confirmation, and none was given.",
            hint="Enter your password, or confirm with your passkey or at your identity provider, then sign.",
            field="password",
        )
    request.session[_USED] = record["at"]
    return str(record.get("type") or record.get("provider") or record["method"])
