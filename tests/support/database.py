"""Test databases without waiting: migrated once for all test processes, and put back whole after real transactions."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection, transaction

_COPY = "leukoweb_migrated"  # PostgreSQL's template; the server is thrown away with it
_KEPT = {"django_migrations", "django_content_type", "auth_permission"}  # rows of migrations, not of a test


class Migrated:
    """The database that the first test process migrates and the others copy.

    ``folder`` is common to the processes of one run (None: there is one process). Whoever comes first holds the lock
    until ``publish``; the others wait for it and find ``copied`` true.
    """

    def __init__(self, folder: Path | None) -> None:
        self._published = folder and folder / "migrated.sqlite3"
        self.copied = False
        if folder is None or self._published is None:
            return
        self._lock = (folder / "migrated.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self._published.exists():
            self._copy(self._published)
            self.copied = True
            self._lock.close()

    def publish(self) -> None:
        """The migrated database of this process is the others' from now on."""
        if self._published is None or self.copied:
            return
        if connection.vendor == "sqlite":
            copy_of_database(self._published)
        else:
            connection.close()  # a database with connections cannot be copied
            self._on_server(f'CREATE DATABASE {_COPY} TEMPLATE "{connection.settings_dict["NAME"]}"')
            self._published.touch()
        self._lock.close()

    def _copy(self, published: Path) -> None:
        name = connection.creation._get_test_db_name()
        if connection.vendor == "sqlite":
            Path(name).write_bytes(published.read_bytes())
        else:
            self._on_server(f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}" TEMPLATE {_COPY}')

    @staticmethod
    def _on_server(*statements: str) -> None:
        with connection.creation._nodb_cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def copy_of_database(path: Path) -> None:
    """Write this process's SQLite database to ``path``, which appears whole."""
    connection.ensure_connection()
    part = path.with_suffix(".part")
    with closing(sqlite3.connect(part)) as target:
        connection.connection.backup(target)
    part.rename(path)


def put_back(whole: Path) -> None:
    """Rows, triggers and counters as they were before the first test: on SQLite the copy at ``whole``, page by page;
    on PostgreSQL every table emptied with its triggers at rest."""
    if connection.vendor == "sqlite":
        connection.close()
        connection.ensure_connection()
        deadline = time.monotonic() + 60

        def progress(*_: int) -> None:
            if time.monotonic() > deadline:  # it would wait for ever for what a failed test left open
                raise TimeoutError("the test's database stays locked: a thread of the test still writes")

        with closing(sqlite3.connect(whole)) as source:
            source.backup(connection.connection, progress=progress)
    else:
        tables = [name for name in connection.introspection.table_names() if name not in _KEPT]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # append-only tables refuse otherwise
            cursor.execute(f"TRUNCATE {', '.join(connection.ops.quote_name(name) for name in tables)}")
    ContentType.objects.clear_cache()
    cache.clear()


def teardown_of(whole: Path) -> Any:
    """For ``TransactionTestCase._fixture_teardown``, whose own flush takes ten times as long."""
    return lambda self: put_back(whole)
