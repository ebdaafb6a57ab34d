"""A consistent copy of the database, and putting one back: SQLite by its backup interface, PostgreSQL by pg_dump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from leukoweb.backup.digests import table_digests
from leukoweb.core.exceptions import DomainError

SQLITE_FILE, POSTGRES_FILE = "database.sqlite3", "database.dump"
Digests = dict[str, dict[str, Any]]


class BackupFailed(DomainError):
    code = "E_BACKUP"


def database_place() -> str:
    """Which database this installation uses, without its password: a command in the wrong environment uses another."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"SQLite {config['NAME']}"
    port = f":{config['PORT']}" if config.get("PORT") else ""
    return f"PostgreSQL {config['NAME']} at {config.get('HOST') or 'localhost'}{port}"


def database_dump(folder: Path) -> tuple[Path, Digests]:
    """Write the database into ``folder``; returns the file and the digests of the very rows that it holds."""
    if connection.vendor == "sqlite":
        return _sqlite_dump(folder / SQLITE_FILE)
    return _postgres_dump(folder / POSTGRES_FILE)


def database_load(file: Path) -> None:
    """Put a dump into the (empty) database of this installation.

    Raises
    ------
    BackupFailed
        The dump is of another kind of database, or the database holds tables already.
    """
    require_empty_database()
    wanted = SQLITE_FILE if connection.vendor == "sqlite" else POSTGRES_FILE
    if file.name != wanted:
        raise BackupFailed(f"This backup holds {file.name}; this installation's database needs {wanted}.")
    if connection.vendor == "sqlite":
        target = Path(str(connection.settings_dict["NAME"]))
        connection.close()
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    else:
        _run_program(
            "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", "--dbname", _name(), str(file)
        )


def require_empty_database() -> None:
    """Raise BackupFailed if there is any table: a restore never writes over anything."""
    if connection.introspection.table_names():
        raise BackupFailed(
            "The database is not empty; a restore never writes over one.",
            hint="Name an empty DATA_DIR (or a new PostgreSQL database) and try again.",
        )


def live_digests() -> Digests:
    """Digests of this installation's own rows, in one snapshot."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(str(connection.settings_dict["NAME"]))) as copy:
            copy.execute("BEGIN")
            return table_digests(lambda sql: copy.execute(sql))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return table_digests(_rows)


def _sqlite_dump(target: Path) -> tuple[Path, Digests]:
    """The backup interface copies committed pages, also those still in the log; a plain copy would miss them."""
    source = str(connection.settings_dict["NAME"])
    if not connection.is_in_memory_db() and not Path(source).is_file():  # type: ignore[attr-defined]
        hint = "Set DATA_DIR or DATABASE_URL as the server has it."
        raise BackupFailed(f"There is no database at {source}.", hint=hint)
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
        digests = table_digests(lambda sql: copy.execute(sql))
        if (answer := copy.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise BackupFailed(f"The copy of the database is damaged: {answer}", hint="Check the disk, then try again.")
    return target, digests


def _postgres_dump(target: Path) -> tuple[Path, Digests]:
    """pg_dump and the digests look at one exported snapshot."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # pg_dump may take its time
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = cursor.fetchone()[0]
        _run_program("pg_dump", "--format=custom", f"--snapshot={snapshot}", "--no-owner", f"--file={target}", _name())
        return target, table_digests(_rows)


def _rows(sql: str) -> Iterator[tuple[Any, ...]]:
    """On PostgreSQL by a cursor of the server: libpq would take a whole table into memory before the first row."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while batch := cursor.fetchmany(2000):
            yield from batch


def _name() -> str:
    return str(connection.settings_dict["NAME"])


def libpq_environment(config: dict[str, Any]) -> dict[str, str]:
    """The variables that make a PostgreSQL program connect as this installation does.

    Also what follows the address in DATABASE_URL (``?sslmode=verify-full&sslrootcert=...``): without it a program
    would fall back to libpq's defaults, which take a connection that nothing verifies. ``options`` is left out (limits
    of our own sessions), and so is what libpq has no variable for (keepalives).
    """
    from psycopg.pq import Conninfo

    access = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    found = {name: config.get(key) for name, key in access.items()}
    options = config.get("OPTIONS") or {}
    for known in Conninfo.get_defaults():
        keyword = known.keyword.decode()
        if known.envvar and keyword != "options" and keyword in options:
            found[known.envvar.decode()] = options[keyword]
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _run_program(program: str, *arguments: str) -> None:
    """Run a PostgreSQL program against our database; the password goes by the environment, never by the arguments."""
    path = shutil.which(program) or next(
        (str(found) for found in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)), None
    )
    if path is None:
        raise BackupFailed(
            f"{program} is not installed.", hint="On Debian and Ubuntu: apt-get install postgresql-client"
        )
    environment = {**os.environ, **libpq_environment(connection.settings_dict)}
    done = subprocess.run([path, *arguments], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackupFailed(f"{program} failed: {done.stderr.strip()[:500]}")
