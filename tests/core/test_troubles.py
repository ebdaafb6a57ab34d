"""Errors of the machine come to people in words, whichever database says them and however late."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.test import Client

from leukoweb.core.exceptions import Conflict
from leukoweb.core.jobs import ledger, registry
from leukoweb.core.jobs.execute import execute
from leukoweb.core.troubles import trouble_of


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def of_postgresql(state: str) -> Exception:
    return caused(OperationalError("x"), psycopg.errors.lookup(state)("x"))


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (of_postgresql("53100"), "E_STORAGE", 507),
        (of_postgresql("53300"), "E_UNAVAILABLE", 503),
        (of_postgresql("57P01"), "E_UNAVAILABLE", 503),
        (of_postgresql("57P03"), "E_UNAVAILABLE", 503),
        (of_postgresql("25006"), "E_READ_ONLY", 507),
        (of_postgresql("40P01"), "E_BUSY", 503),
        (caused(OperationalError("x"), psycopg.OperationalError("connection refused")), "E_UNAVAILABLE", 503),
        (InterfaceError("connection already closed"), "E_UNAVAILABLE", 503),
        (OSError(errno.ENOSPC, "x"), "E_STORAGE", 507),
        (OSError(errno.EROFS, "x"), "E_READ_ONLY", 507),
        (MemoryError(), "E_MEMORY", 503),
        (Conflict("mine"), "E_CONFLICT", 409),
    ],
)
def test_in_words(error: Exception, code: str, status: int) -> None:
    found = trouble_of(error)
    assert found is not None
    assert (found.code, found.status) == (code, status)
    assert found.message.endswith(("saved.", "mine"))


@pytest.mark.parametrize(
    "error",
    [None, ValueError("x"), OSError(errno.ENOENT, "x"), DatabaseError("x"), caused(IntegrityError("x"), psycopg.errors.
     UniqueViolation("x")), of_postgresql("42P01")],
)  # fmt: skip
def test_what_is_no_trouble_of_the_machine_is_left_alone(error: Exception | None) -> None:
    assert trouble_of(error) is None


def test_sqlite_says_full_busy_read_only_and_gone(tmp_path: Path) -> None:
    """Real errors of a real file."""
    file = tmp_path / "x.sqlite3"
    line = sqlite3.connect(file, timeout=0)
    line.execute("CREATE TABLE t (x BLOB)")
    line.commit()

    def said(action: Callable[[], Any]) -> str | None:
        with pytest.raises(sqlite3.OperationalError) as caught:
            action()
        found = trouble_of(caused(OperationalError("x"), caught.value))
        return found.code if found else None

    line.execute("PRAGMA max_page_count = 3")
    assert said(lambda: line.execute("INSERT INTO t VALUES (zeroblob(100000))")) == "E_STORAGE"
    other = sqlite3.connect(file, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    assert said(lambda: line.execute("INSERT INTO t VALUES (1)")) == "E_BUSY"
    other.rollback()
    reading = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert said(lambda: reading.execute("INSERT INTO t VALUES (1)")) == "E_READ_ONLY"
    assert said(lambda: sqlite3.connect(tmp_path / "no" / "folder")) == "E_UNAVAILABLE"
    assert said(lambda: line.execute("SELECT * FROM absent")) is None


@pytest.mark.django_db
def test_an_error_in_the_database_reaches_pages_and_scripts_in_words(
    as_role: Callable[[str], Client], monkeypatch: Any
) -> None:
    """Also where the session itself lies in the database that is away."""
    from leukoweb.core import health

    def away() -> None:
        raise of_postgresql("57P01")

    client = as_role("admin")
    client.raise_request_exception = False
    monkeypatch.setattr(health, "missing_guards", away)
    page = client.get("/health/")
    assert page.status_code == 503
    assert page["Retry-After"] == "5"
    assert b"The database does not answer at the moment" in page.content
    script = client.get("/health/", headers={"Accept": "application/json"})
    assert script.json()["error"]["code"] == "E_UNAVAILABLE"


@pytest.mark.django_db
def test_a_job_that_runs_into_it_says_so_and_the_next_one_runs(monkeypatch: Any) -> None:
    error, words = MemoryError(), "ran out of memory"

    def handler(context: Any) -> str:
        if context.payload["bad"]:
            raise error
        return "fine"

    made = registry.Kind("test.trouble", "x:y", "ops", "units", "Trouble", "")
    monkeypatch.setitem(registry._kinds, "test.trouble", made)
    monkeypatch.setattr(registry.Kind, "handler", lambda self: handler)
    bad, good = (
        ledger.job_create(kind="test.trouble", title="t", payload={"bad": bad}, actor=None) for bad in (True, False)
    )
    for _ in range(3):
        ledger.Job.objects.filter(pk=bad.pk).update(not_before=None)
        assert execute(bad.pk)
    assert execute(good.pk)
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.status, bad.error_code, good.status) == ("failed", "E_UNEXPECTED", "done")
    assert words in bad.error
    assert "3 times" in bad.error
