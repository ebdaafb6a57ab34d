"""allauth without open sign-up: an admin invites."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

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


class ClosedSocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """An identity provider signs in people whom an admin has invited; it makes nobody new."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False
