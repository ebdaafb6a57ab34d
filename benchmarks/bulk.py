"""Inserting rows of plain values by the hundred thousand, on SQLite (executemany) and PostgreSQL (COPY)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def load(model: Any, fixed: dict[str, Any], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows of plain values. ``fixed`` are equal in all rows; what neither names takes the field's default."""
    from django.db import connection

    fields = {f.attname: f for f in model._meta.local_concrete_fields}
    rest = [name for name in fields if name not in fixed and name not in columns and name != "id"]
    same = fixed | {name: fields[name].get_default() for name in rest}
    constants = tuple(fields[name].get_db_prep_save(value, connection) for name, value in same.items())
    if connection.vendor == "postgresql":
        constants = tuple(
            json.dumps(same[n]) if fields[n].get_internal_type() == "JSONField" else c
            for n, c in zip(same, constants, strict=True)
        )
    kinds = [getattr(fields[name], "target_field", fields[name]).get_internal_type() for name in columns]
    uuid_at = [i for i, kind in enumerate(kinds) if kind == "UUIDField"]
    as_text = (lambda u: u.hex) if connection.vendor == "sqlite" else str

    def plain() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            values = list(row)
            for i in uuid_at:
                values[i] = as_text(values[i])
            yield (*values, *constants)

    names = ", ".join(f'"{fields[n].column}"' for n in (*columns, *same))
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            marks = ", ".join("?" * (len(columns) + len(constants)))
            cursor.cursor.connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', plain())
        else:
            with cursor.cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
                for row in plain():
                    copy.write_row(row)


def reset_sequences(models: Iterable[Any]) -> None:
    from django.core.management.color import no_style
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(statement)
