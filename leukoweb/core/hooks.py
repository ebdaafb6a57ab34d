"""What other parts do when a person's role changes, and what they say of it before. They register paths; core imports
none of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from leukoweb.core.models import User

_on_role_change: list[str] = []
_before_role_change: list[str] = []
_before_leaving: list[str] = []


def register_role_hook(path: str) -> None:
    """Called from an app's ``ready()``. ``path`` is ``package.module:function(*, actor, user, reason)``."""
    if path not in _on_role_change:
        _on_role_change.append(path)


def register_role_question(path: str) -> None:
    """``path`` is ``package.module:function(*, user, role) -> list[str]``: what would end for good, each in words."""
    if path not in _before_role_change:
        _before_role_change.append(path)


def register_leaving_question(path: str) -> None:
    """``path`` is ``package.module:function(*, user, role) -> list[str]``: what nobody could go on with, each in words.

    ``role`` is the new one; empty where the person is disabled.
    """
    if path not in _before_leaving:
        _before_leaving.append(path)


def role_changed(*, actor: User | None, user: User, reason: str) -> None:
    """Run every hook in the transaction that changes the role, so that all of it stands or falls together."""
    for function in _functions(_on_role_change):
        function(actor=actor, user=user, reason=reason)


def would_end(*, user: User, role: str) -> list[str]:
    """What the person has begun or is to do, and would lose with this role. Changes nothing."""
    return [words for function in _functions(_before_role_change) for words in function(user=user, role=role)]


def would_be_left(*, user: User, role: str = "") -> list[str]:
    """What nobody else can go on with once the person has this role, or is disabled. Changes nothing."""
    return [words for function in _functions(_before_leaving) for words in function(user=user, role=role)]


def _functions(paths: list[str]) -> Iterator[Any]:
    for path in paths:
        module, _, function = path.partition(":")
        yield getattr(import_module(module), function)
