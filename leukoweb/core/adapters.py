"""allauth without open sign-up: an admin makes accounts."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.shortcuts import redirect

from leukoweb.core.models import User

log = logging.getLogger(__name__)


class ClosedAccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address under which wrong passwords are counted.

        Fewer addresses in X-Forwarded-For than TRUSTED_PROXIES: a request came past one of the proxies, or the setting
        is too high. It is counted under the nearest address then, which nobody can choose, and the log says so.
        """
        try:
            return str(super().get_client_ip(request))
        except ImproperlyConfigured:
            addresses = request.headers.get("X-Forwarded-For", "").split(",")
            log.warning(
                "X-Forwarded-For holds %d addresses, TRUSTED_PROXIES is %d: see docs/settings.md",
                len(addresses), settings.ALLAUTH_TRUSTED_PROXY_COUNT,
            )  # fmt: skip
            return addresses[-1].strip()

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Wrong passwords of a name are counted together, under whatever Host they were sent.

        allauth counts by host and name: each port that a client writes behind the host would be five tries more.
        """
        return str(credentials.get("email", credentials.get("username", ""))).lower()


class ClosedSocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """An identity provider signs in people whom an admin has made; it makes nobody new."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def authenticate_by_email(self, sociallogin: Any) -> tuple[User, str] | None:
        """The one person whom an admin gave an address that the provider has verified.

        allauth would also take addresses that people add to their own account, verified or not.
        """
        for address in sociallogin.email_addresses:
            if address.verified and self.can_authenticate_by_email(sociallogin, address.email):
                # The database's "same letters" may be wider than ours: compared again.
                rows = User.objects.filter(email__iexact=address.email)
                found = [user for user in rows if user.email.lower() == address.email.lower()]
                if len(found) == 1:
                    return found[0], address.email
        return None

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Whoever connects a sign-in to an account confirms first; who cannot confirm anything connects nothing.

        allauth asks for the password or the second factor, and lets pass who has neither.
        """
        if sociallogin.state.get("process") == AuthProcess.CONNECT and not get_reauthentication_flows(request.user):
            messages.error(request, "Another sign-in cannot be connected to this account. Ask an admin.")
            raise ImmediateHttpResponse(redirect("home"))
