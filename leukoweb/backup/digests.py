"""What a restore is checked against: for each append-only table, how many rows and a digest of every value.

The digest is made of the values as the database gives them, so it is compared within one kind of database only;
a backup is restored into the kind that it came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from leukoweb.core.guards import guarded_models

Query = Callable[[str], Iterator[tuple[Any, ...]]]
"""Runs one SELECT and yields its rows."""


def table_digests(query: Query) -> dict[str, dict[str, Any]]:
    """``{table: {rows, sha256}}`` of every append-only table, rows in order of their key."""
    found = {}
    for model in guarded_models():
        columns = ", ".join(f'"{field.column}"' for field in model._meta.local_concrete_fields)
        table, key = model._meta.db_table, model._meta.pk.column
        digest, rows = hashlib.sha256(), 0
        for row in query(f'SELECT {columns} FROM "{table}" ORDER BY "{key}"'):  # names of our models  # noqa: S608  # nosec B608
            digest.update(repr(tuple(_plain(value) for value in row)).encode())
            rows += 1
        found[table] = {"rows": rows, "sha256": digest.hexdigest()}
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
