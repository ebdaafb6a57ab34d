"""What other parts do when a person's role changes. They register a path; core imports none of them."""

from __future__ import annotations

from importlib import import_module

from leukoweb.core.models import User

_on_role_change: list[str] = []


def register_role_hook(path: str) -> None:
    """Called from an app's ``ready()``. ``path`` is ``package.module:function(*, actor, user)``."""
    if path not in _on_role_change:
        _on_role_change.append(path)


def role_changed(*, actor: User | None, user: User) -> None:
    """Run every hook in the transaction that changes the role, so that all of it stands or falls together."""
    for path in _on_role_change:
        module, _, function = path.partition(":")
        getattr(import_module(module), function)(actor=actor, user=user)
