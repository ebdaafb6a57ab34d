"""Expressions over columns that both databases know."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Func, IntegerField, QuerySet, Subquery


class UuidText(Func):
    """A UUID as its usual text, made by the database: to make an object of each first takes long for many."""

    template = "%(expressions)s::text"
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite keeps 32 hexadecimal digits."""
        parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        template = " || '-' || ".join(f"substr(%(expressions)s, {first}, {n})" for first, n in parts)
        return self.as_sql(compiler, connection, template=f"({template})", **context)


def count_of(rows: QuerySet[Any]) -> Subquery:
    """A correlated count of its own: a count over several joins multiplies their rows and has to tell them apart.

    A plain function, because an aggregate would group, and grouping would sort; of rows, not of a column, which would
    have to be fetched from the table.
    """
    counted = rows.order_by().annotate(n=Func(template="COUNT(*)", output_field=IntegerField()))
    return Subquery(counted.values("n"), output_field=IntegerField())
