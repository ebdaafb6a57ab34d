"""Which software made a result."""

from __future__ import annotations

import tomllib
from functools import cache

from django.conf import settings


@cache
def app_version() -> str:
    """The version of this repository; it is run from its folder, so its project file says."""
    with (settings.BASE_DIR / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])
