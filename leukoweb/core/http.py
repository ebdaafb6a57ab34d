"""The person behind a request."""

from __future__ import annotations

from django.http import HttpRequest

from leukoweb.core.exceptions import NotAllowed
from leukoweb.core.models import User


def person(request: HttpRequest) -> User:
    """Who asks. Only for views behind ``@requires``: a visitor cannot get there."""
    if not isinstance(request.user, User):
        raise NotAllowed("Sign in first.", code="E_LOGIN")
    return request.user
