"""What a view may rely on after the deny-by-default middleware."""

from __future__ import annotations

from django.http import HttpRequest

from leukoweb.core.models import User


class SignedInRequest(HttpRequest):
    """A request whose user is signed in: every view here names an action, and strangers have none."""

    user: User
