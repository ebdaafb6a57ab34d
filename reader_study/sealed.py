"""What a blind request may ask of the database. Everything else is sealed, also tables that are made later.

A blind request is one under ``/read/``. Its statements are looked at before they run: a table that is not on the
list below raises, on both databases, whatever view, selector or template wrote the query. See docs/blinding.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_sealing: ContextVar[str] = ContextVar("sealing", default="")


class SealedTable(RuntimeError):
    """A blind request named a sealed table. A fault of the program: it answers 500 and shows nothing."""


def _always(sql: str) -> bool:
    return True


def _inserts(sql: str) -> bool:
    return sql.startswith("INSERT INTO")


def _inserts_or_finds_a_key(sql: str) -> bool:
    """A change is written, or looked for by its idempotency key; old and new answers are never read back."""
    return _inserts(sql) or (sql.startswith("SELECT") and not {"old", "new"} & set(_WORD.findall(sql)))


def _extends_the_chain(sql: str) -> bool:
    """The last hash is read and an event appended; what events say is not."""
    return _inserts(sql) or sql.startswith('SELECT "core_auditevent"."hash" AS "hash" FROM "core_auditevent" ORDER BY')


def _is_the_seal(sql: str) -> bool:
    return bool(sql) and sql == _sealing.get()


OPEN_TABLES: dict[str, Callable[[str], bool]] = {
    # who asks
    "core_user": _always,
    "django_session": _always,
    "account_emailaddress": _always,
    "mfa_authenticator": _always,
    "socialaccount_socialaccount": _always,
    "socialaccount_socialapp": _always,  # which providers there are, for who confirms at one
    # whom to ask: who coordinates the study, and nothing of it
    "reader_study_study_coordinators": _always,
    # the reader's own desk
    "reader_study_studyreader": _always,
    "reader_study_readingsession": _always,
    "reader_study_sessioncase": _always,
    "reader_study_sessionimage": _always,
    "reader_study_sessionassistance": _always,
    "reader_study_draftreading": _always,
    # written, not read
    "reader_study_draftevent": _inserts_or_finds_a_key,
    "reader_study_sessionseal": _inserts,
    "core_auditevent": _extends_the_chain,
    # named by one statement only, which returns nothing
    "reader_study_reading": _is_the_seal,
    "reader_study_caseidentity": _is_the_seal,
}


@cache
def _tables() -> frozenset[str]:
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))


def check(sql: str) -> None:
    """Raise if the statement names a sealed table, or an open one in a way that is not allowed."""
    text = sql.lstrip()
    for table in _tables().intersection(_WORD.findall(text)):
        if not OPEN_TABLES.get(table, lambda sql: False)(text):
            raise SealedTable(f"A blind request may not ask {table} this: {text[:60]} ...")


def _guard(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    check(str(sql))
    return execute(sql, params, many, context)


@contextmanager
def blind() -> Iterator[None]:
    """Statements inside are those of a blind request."""
    with connection.execute_wrapper(_guard):
        yield


@contextmanager
def sealing(statement: str) -> Iterator[None]:
    """The one way past: exactly this statement, while it lasts (``services.seals``)."""
    token = _sealing.set(statement.lstrip())
    try:
        yield
    finally:
        _sealing.reset(token)
