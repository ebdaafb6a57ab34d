"""Errors of the machine in words: the database is away, the disk is full. Told apart by codes, not by guessing.

Nothing is half-saved in any of them: every write is one transaction, and a stored file appears complete or not at all.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from leukoweb.core.exceptions import DomainError, StorageFull

ROOM_BYTES = 256 * 1024
ASK_ADMIN = "Tell your admin. What you entered is still on your screen: send it again when it works."


class Unavailable(DomainError):
    """Passing: the same request may succeed in a moment."""

    code = "E_UNAVAILABLE"
    status = 503
    retry_after_s = 5


class OutOfMemory(Unavailable):
    code = "E_MEMORY"


def disk_full() -> StorageFull:
    return StorageFull("The server's disk is full, so nothing was saved.", hint=ASK_ADMIN)


def read_only() -> StorageFull:
    words = "The server's disk cannot be written to, so nothing was saved."
    return StorageFull(words, code="E_READ_ONLY", hint=ASK_ADMIN)


def _away() -> Unavailable:
    return Unavailable(
        "The database does not answer at the moment, so nothing was saved.",
        hint="Try again in a few seconds; if it stays, tell your admin.",
    )


def _busy() -> Unavailable:
    return Unavailable(
        "Too many people saved at the same moment, so nothing was saved.", code="E_BUSY", hint="Try again."
    )


def trouble_of(error: BaseException | None) -> DomainError | None:
    """The error in words, or None if it is not the machine's fault."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, DatabaseError | InterfaceError):
        return _of_database(error)
    if isinstance(error, MemoryError):
        return OutOfMemory("The server ran out of memory on this, so nothing was saved.", hint="Try again with less.")
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return disk_full()
        if error.errno == errno.EROFS:
            return read_only()
    return None


def _of_database(error: Exception) -> DomainError | None:
    cause = error.__cause__
    if name := getattr(cause, "sqlite_errorname", ""):
        return _of_sqlite(name)
    return _of_postgresql(getattr(cause, "sqlstate", None), error)


def _of_sqlite(name: str) -> DomainError | None:
    """By the result code (https://sqlite.org/rescode.html); extended codes begin with the primary one's name."""
    if name.startswith("SQLITE_FULL"):
        return disk_full()
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return read_only()
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _busy()
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):
        return disk_full() if _no_room() else _away()
    return None


def _no_room() -> bool:
    """On a full disk SQLite says IOERR where its shared-memory file cannot grow, and CANTOPEN where a log is new."""
    try:
        return shutil.disk_usage(Path(str(connection.settings_dict["NAME"])).parent).free < ROOM_BYTES
    except OSError:
        return False


def _of_postgresql(state: str | None, error: Exception) -> DomainError | None:
    """By SQLSTATE (PostgreSQL documentation, appendix A); without one the connection itself failed."""
    if state is None:
        return _away() if isinstance(error, OperationalError | InterfaceError) else None
    if state == "53100":
        return disk_full()
    if state == "25006":
        return read_only()
    if state in ("40001", "40P01", "55P03"):
        return _busy()
    if state[:2] in ("08", "53", "57", "58") or state in ("25P03", "25P04"):
        return _away()
    return None
