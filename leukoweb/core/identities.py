"""Ways in change on record and with a confirmation: sign-ins at an identity provider, and second factors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from leukoweb.core.audit import audit_record
from leukoweb.core.http import person


class FreshSignInMiddleware:
    """Who signs in at the provider alone sets up a second factor only shortly after doing so.

    allauth asks everybody else for the password or a factor, and lets pass who has neither: a minute at an unlocked
    browser would be enough to add a factor, and to sign with it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        target = getattr(view, "view_class", view)
        if request.method != "POST" or not target.__module__.startswith("allauth.mfa"):
            return None
        if not request.user.is_authenticated or get_reauthentication_flows(request.user):
            return None
        after = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
        if any(record["at"] > after for record in get_authentication_records(request, request.user)):
            return None
        messages.error(request, "Sign out and in again first: a second step is set up within five minutes of that.")
        return redirect("mfa_index")


def _added(request: HttpRequest, sociallogin: Any, **kwargs: Any) -> None:
    user, account = sociallogin.user, sociallogin.account
    audit_record(
        actor=user, action="user.identity_add", target=f"user:{user.pk}",
        data={"provider": account.provider, "subject": account.uid},
    )  # fmt: skip


def _removed(request: HttpRequest, socialaccount: Any, **kwargs: Any) -> None:
    audit_record(
        actor=person(request), action="user.identity_remove", target=f"user:{socialaccount.user_id}",
        data={"provider": socialaccount.provider, "subject": socialaccount.uid},
    )  # fmt: skip


social_account_added.connect(_added, dispatch_uid="leukoweb.identities.added")
social_account_removed.connect(_removed, dispatch_uid="leukoweb.identities.removed")
