"""What every template may use."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from leukoweb.core.permissions import ACTIONS, has_action


class May:
    """``{% if may.slides_upload %}`` in templates: the role x action table with dots as underscores."""

    def __init__(self, user: Any) -> None:
        self._user = user

    def __getitem__(self, name: str) -> bool:
        action = name.replace("_", ".", 1)
        if action not in ACTIONS:
            raise KeyError(name)
        return has_action(self._user, action)


def site(request: HttpRequest) -> dict[str, Any]:
    return {"may": May(getattr(request, "user", None)), "laptop_mode": not settings.PRODUCTION}
