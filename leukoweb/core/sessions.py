"""A sign-in lasts SESSION_HOURS from its moment, whatever is done with it meanwhile.

Django's own expiry begins anew whenever something is written into a session (a message, the reading desk's clock, a
signature), so it would end only for somebody who rests, and never for a stolen cookie that is used now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

SIGNED_IN_AT = "signed_in_at"


def _stamp(request: HttpRequest, **kwargs: Any) -> None:
    request.session[SIGNED_IN_AT] = timezone.now().timestamp()


user_logged_in.connect(_stamp, dispatch_uid="leukoweb.sessions")


class SessionHoursMiddleware:
    """Behind authentication: a sign-in that is too old is ended, on the server too, and the request is a visitor's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Without the cookie nothing is looked up: answers to visitors do not vary by it.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            began = request.session.get(SIGNED_IN_AT)
            if began is None:  # made before sign-ins were stamped: its hours begin now
                _stamp(request)
            elif timezone.now().timestamp() - began > settings.SESSION_HOURS * 3600:
                logout(request)
        return self.get_response(request)
