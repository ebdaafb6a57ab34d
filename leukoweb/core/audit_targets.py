"""What the objects of audit events are called and which pages show them. Apps register the kinds that they own.

An event keeps its object as ``kind:key``, which no deletion or renaming touches; the name is looked up when somebody
reads the trail, by rules of that reader: who may not see an object is not told its name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action


@dataclass(frozen=True, slots=True)
class Named:
    """``page`` is its address; empty where it has no page of its own."""

    name: str
    page: str = ""


_namers: dict[str, str] = {kind: f"{__name__}:{kind}_names" for kind in ("user", "job")}
_parts: dict[str, str] = {}


def register_target(kind: str, path: str) -> None:
    """``package.module:function(user, keys)`` gives the names of the keys that this person may know."""
    _namers[kind] = path


def register_parts(kind: str, path: str) -> None:
    """``package.module:function(user, key) -> targets`` of what belongs to an object's history besides itself."""
    _parts[kind] = path


def target_names(user: User, targets: Iterable[str]) -> dict[str, Named]:
    """Names by target, where there is one. As many queries as kinds ask for, whatever the number of targets."""
    keys: dict[str, list[str]] = {}
    for target in sorted(set(targets)):
        kind, _, key = target.partition(":")
        if kind in _namers and key:
            keys.setdefault(kind, []).append(key)
    return {
        f"{kind}:{key}": named
        for kind, found in keys.items()
        for key, named in _function(_namers[kind])(user, found).items()
    }  # fmt: skip


def target_parts(user: User, target: str) -> list[str]:
    """Targets that belong to this one's history, as far as this person may know."""
    kind, _, key = target.partition(":")
    return list(_function(_parts[kind])(user, key)) if kind in _parts and key else []


def named_rows(
    rows: QuerySet[Any], keys: list[str], page: str, name: Callable[[Any], str] = str, *, by: str = "pk"
) -> dict[str, Named]:
    """The rows with these keys, which are numbers or public ids. ``page``, the name of an address, takes the ``by``."""
    numbers = [number for key in keys if (number := row_number(key)) is not None]
    public = [key for key in keys if _is_uuid(key)] if hasattr(rows.model, "public_id") else []
    out: dict[str, Named] = {}
    for field, wanted in (("pk", numbers), ("public_id", public)):
        for row in rows.filter(**{f"{field}__in": wanted}) if wanted else ():
            out[str(getattr(row, field))] = Named(name(row), reverse(page, args=[getattr(row, by)]) if page else "")
    return out


def row_number(key: str) -> int | None:
    """The number of a row that a key can be; None where no database could hold it."""
    return int(key) if key.isdecimal() and len(key) < 19 else None


def user_names(user: User, keys: list[str]) -> dict[str, Named]:
    page = reverse("user_list") if has_action(user, "users.manage") else ""
    found = named_rows(User.objects.all(), keys, "", lambda row: f"user {row.username}")
    return {key: Named(one.name, page and f"{page}#user-{key}") for key, one in found.items()}


def job_names(user: User, keys: list[str]) -> dict[str, Named]:
    jobs = Job.objects.filter(pk__in=[key for key in keys if _is_uuid(key)])
    return {str(job.pk): Named(f"job {job.title}") for job in jobs}


def _is_uuid(key: str) -> bool:
    try:
        return str(uuid.UUID(key)) == key
    except ValueError:
        return False


def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
