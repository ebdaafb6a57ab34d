"""The time zone of the installation, as a setting."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured


def zone_name(name: str) -> str:
    """The name, if the tz database has it; UTC, which needs none, anyway."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        if name != "UTC":
            message = f"TIME_ZONE is {name!r}, which the tz database does not have; give a name such as Europe/Berlin."
            raise ImproperlyConfigured(message) from error
    return name
