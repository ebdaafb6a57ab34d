"""What the command line says instead of a traceback."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import CommandError
from django.db import OperationalError, ProgrammingError

from leukoweb.core.exceptions import DomainError


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Refusals and a database that is not ready end the command with exit code 2 and one line."""
    try:
        yield
    except DomainError as error:
        raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
    except (OperationalError, ProgrammingError, sqlite3.Error) as error:  # SQLite's own, where a copy is opened
        text = f"E_DATABASE: The database is not ready: {error}. Run `manage.py migrate`."
        raise CommandError(text, returncode=2) from error


def table_source(data: bytes) -> str:
    """The source written down with imported rows: the table by its hash, because its name may hold an identity."""
    return f"Import of a table (SHA-256 {hashlib.sha256(data).hexdigest()[:16]})"
