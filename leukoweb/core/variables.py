"""Environment variables with a range: a wrong value is said in words before anything starts. Free of Django's apps."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

YES: Final = ("true", "yes", "on", "ok", "1", "y", "t")
NO: Final = ("false", "no", "off", "0", "n", "f")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
EXAMPLES: Final = {  # and what an address that was understood always has
    "DATABASE_URL": ("ENGINE", "postgres://USER:PASSWORD@HOST:5432/NAME"),
    "EMAIL_URL": ("EMAIL_BACKEND", "smtp+tls://USER:PASSWORD@mail.example.org:587"),
}
ENGINES: Final = ("auto", "openvino", "torch", "torch-cuda")


def number(name: str, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``; an empty variable is one that is not set."""
    text = os.environ.get(name, "").strip() or str(default)
    wanted = f"from {low:,} to {high:,}"
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise ImproperlyConfigured(f"{name} is {text[:40]!r}; it must be a whole number {wanted}.")
    if not low <= int(text) <= high:
        raise ImproperlyConfigured(f"{name} is {text}; it must be {wanted}.")
    return int(text)


def yes(name: str, *, default: bool) -> bool:
    """True or false, in any of the usual words."""
    text = os.environ.get(name, "").strip().lower() or str(default).lower()
    if text not in (*YES, *NO):
        raise ImproperlyConfigured(f"{name} is {text[:40]!r}; it must be true or false.")
    return text in YES


def one_of(name: str, default: str, known: Sequence[str]) -> str:
    """One of the ``known`` words, in the case in which they stand there, however it was typed."""
    text = os.environ.get(name, "").strip() or default
    found = next((word for word in known if word.lower() == text.lower()), None)
    if found is None:
        raise ImproperlyConfigured(f"{name} is {text[:40]!r}; it must be one of {', '.join(known)}.")
    return found


def address(name: str, url: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What ``read`` makes of the address; one that is none is refused, and its password is not repeated."""
    key, example = EXAMPLES[name]
    try:
        with warnings.catch_warnings(action="ignore"):  # it would write down the whole address
            found = read(url)
    except (ValueError, KeyError, ImproperlyConfigured):
        found = {}
    if not found.get(key):
        raise ImproperlyConfigured(f"{name} is no address that can be read. Write {example}.")
    return found
