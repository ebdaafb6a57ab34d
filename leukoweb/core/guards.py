"""Database triggers that make chosen tables append-only, and that forget what was worked out from rows that changed.

For SQLite and PostgreSQL.

They are installed after every migration, because SQLite drops a table's triggers without a word when a migration
rebuilds the table, and a start-up check refuses to run without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models

from leukoweb.core.words import counted

_guarded: dict[str, tuple[str, ...]] = {}
_insert_if: dict[str, tuple[str, str]] = {}  # (condition, what the database says when it is not fulfilled)


@dataclass(frozen=True)
class Forget:
    """Rows of table ``memo`` say something about all rows that share their ``via``; see `forget_with`."""

    memo: str
    via: str
    owner: str
    columns: tuple[str, ...]


_forgets: dict[str, Forget] = {}


def append_only(*, except_columns: tuple[str, ...] = (), insert_if: str = "", refusal: str = "") -> Any:
    """Class decorator: rows of this model can be inserted only; ``except_columns`` may still be updated.

    ``insert_if`` is an SQL condition on ``NEW`` that an inserted row must fulfil, in words that both databases know;
    with it a set of rows can be closed. ``refusal`` is what the database then says.
    """

    def register(model: type[models.Model]) -> type[models.Model]:
        _guarded[model._meta.label] = except_columns
        if insert_if:
            insert_only_if(model._meta.label, insert_if, refusal or f"{model._meta.db_table} is closed")
        return model

    return register


def insert_only_if(label: str, condition: str, refusal: str) -> None:
    """Rows of this model, append-only or not, are inserted (and changed, where they can be) only where it holds."""
    _insert_if[label] = (condition, refusal)


def forget_with(label: str, forget: Forget) -> None:
    """What table ``memo`` remembers of rows of this model goes as soon as one of them comes, goes or changes.

    ``via`` is the column, of both tables, that names a row of table ``owner``; ``columns`` are those whose change
    counts. Whoever writes into ``memo`` locks the row of ``owner`` first: the trigger takes the same lock, so nothing
    is remembered that another transaction is about to change.
    """
    _forgets[label] = forget


def guarded_models() -> list[type[models.Model]]:
    return [apps.get_model(label) for label in sorted(_guarded)]


def _ruled_models() -> list[type[models.Model]]:
    """Every model with a trigger."""
    return [apps.get_model(label) for label in sorted({*_guarded, *_insert_if, *_forgets})]


def _frozen_columns(model: type[models.Model]) -> list[str]:
    allowed = _guarded[model._meta.label]
    return [str(f.column) for f in model._meta.local_concrete_fields if f.name not in allowed]


def _names(table: str) -> tuple[str, str, str]:
    return f"{table}_guard_update", f"{table}_guard_delete", f"{table}_guard_truncate"


def _all_names(model: type[models.Model], vendor: str) -> list[str]:
    """The triggers that a table must have."""
    names = list(_names(model._meta.db_table)[: 2 if vendor == "sqlite" else 3]) if _is_append_only(model) else []
    return names + [name for name, _ in _rule_triggers(model)] + _forget_names(model, vendor)


def _is_append_only(model: type[models.Model]) -> bool:
    return model._meta.label in _guarded


def _rule_triggers(model: type[models.Model]) -> list[tuple[str, str]]:
    """(name, event) of the triggers that hold the table's condition; where rows can be changed, of a change too."""
    table = model._meta.db_table
    if model._meta.label not in _insert_if:
        return []
    change = [] if _is_append_only(model) else [(f"{table}_guard_change", "UPDATE")]
    return [(f"{table}_guard_insert", "INSERT"), *change]


def _insert_statements(model: type[models.Model], vendor: str) -> list[str]:
    if (rule := _insert_if.get(model._meta.label)) is None:
        return []
    (condition, message), table = rule, model._meta.db_table
    statements: list[str] = []
    for name, event in _rule_triggers(model):
        if vendor == "sqlite":
            statements += [
                f'DROP TRIGGER IF EXISTS "{name}"',
                f'CREATE TRIGGER "{name}" BEFORE {event} ON "{table}" WHEN ({condition}) IS NOT TRUE '
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END",
            ]
        else:
            statements += [
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN IF ({condition}) IS NOT TRUE THEN RAISE EXCEPTION '{message}' "
                "USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW; END $$",
                f'CREATE OR REPLACE TRIGGER "{name}" BEFORE {event} ON "{table}" '
                f"FOR EACH ROW EXECUTE FUNCTION {name}()",
            ]
    return statements


def _forget_names(model: type[models.Model], vendor: str) -> list[str]:
    if model._meta.label not in _forgets:
        return []
    events = ("insert", "update", "delete") if vendor == "sqlite" else ("change",)
    return [f"{model._meta.db_table}_forget_{event}" for event in events]


def _forget_statements(model: type[models.Model], vendor: str) -> list[str]:
    if (rule := _forgets.get(model._meta.label)) is None:
        return []
    table, columns = model._meta.db_table, ", ".join(f'"{column}"' for column in rule.columns)
    if vendor == "sqlite":  # one writer at a time, so there is nothing to lock
        rows = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}
        events = {"insert": "INSERT", "update": f"UPDATE OF {columns}", "delete": "DELETE"}
        statements = []
        for name, event in zip(_forget_names(model, vendor), events, strict=True):
            which = ", ".join(f'{row}."{rule.via}"' for row in rows[event])
            statements += [
                f'DROP TRIGGER IF EXISTS "{name}"',
                f'CREATE TRIGGER "{name}" AFTER {events[event]} ON "{table}" '  # noqa: S608  # nosec B608  names of ours
                f'BEGIN DELETE FROM "{rule.memo}" WHERE "{rule.via}" IN ({which}); END',
            ]
        return statements
    (name,) = _forget_names(model, vendor)

    def forgotten(row: str) -> str:
        return (
            f'PERFORM 1 FROM "{rule.owner}" WHERE id = {row}."{rule.via}" FOR NO KEY UPDATE; '  # noqa: S608  # nosec B608
            f'DELETE FROM "{rule.memo}" WHERE "{rule.via}" = {row}."{rule.via}";'
        )

    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP <> 'INSERT' THEN {forgotten('OLD')} END IF; "
        f"IF TG_OP <> 'DELETE' THEN {forgotten('NEW')} END IF; RETURN NULL; END $$",
        f'CREATE OR REPLACE TRIGGER "{name}" AFTER INSERT OR DELETE OR UPDATE OF {columns} ON "{table}" '
        f"FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def _statements(model: type[models.Model], vendor: str) -> list[str]:
    if not _is_append_only(model):
        return []
    table, message = model._meta.db_table, f"{model._meta.db_table} is append-only"
    update, delete, truncate = _names(table)
    changed = " OR ".join(
        f'OLD."{c}" {"IS NOT" if vendor == "sqlite" else "IS DISTINCT FROM"} NEW."{c}"' for c in _frozen_columns(model)
    )
    if vendor == "sqlite":
        abort = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        return [
            f'DROP TRIGGER IF EXISTS "{update}"',
            f'CREATE TRIGGER "{update}" BEFORE UPDATE ON "{table}" WHEN {changed} {abort}',
            f'DROP TRIGGER IF EXISTS "{delete}"',
            f'CREATE TRIGGER "{delete}" BEFORE DELETE ON "{table}" {abort}',
        ]
    refuse = "EXECUTE FUNCTION leukoweb_append_only()"
    return [
        "CREATE OR REPLACE FUNCTION leukoweb_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$",
        f'CREATE OR REPLACE TRIGGER "{update}" BEFORE UPDATE ON "{table}" FOR EACH ROW WHEN ({changed}) {refuse}',
        f'CREATE OR REPLACE TRIGGER "{delete}" BEFORE DELETE ON "{table}" FOR EACH ROW {refuse}',
        f'CREATE OR REPLACE TRIGGER "{truncate}" BEFORE TRUNCATE ON "{table}" FOR EACH STATEMENT {refuse}',
    ]


def install_guards(using: str = "default") -> None:
    """Create (or replace) the triggers of every guarded table that exists."""
    connection = connections[using]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in _ruled_models():
            if model._meta.db_table not in tables:
                continue
            for made in (_statements, _insert_statements):
                for statement in made(model, connection.vendor):
                    cursor.execute(statement)
            if (forget := _forgets.get(model._meta.label)) is None:
                continue
            if forget.memo in tables:
                for statement in _forget_statements(model, connection.vendor):
                    cursor.execute(statement)
            else:  # migrated back to before it was there
                _drop(cursor, model, _forget_names(model, connection.vendor))


def lift_for_migrations(using: str) -> None:
    """On SQLite remove all triggers, whichever version made them: a migration that makes a table anew renames it, which
    fails while a trigger of another table names it. What comes after the migrations installs today's; where they fail,
    nothing is served without (`require_guards`)."""
    if connections[using].vendor == "sqlite":
        with connections[using].cursor() as cursor:
            for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                cursor.execute(f'DROP TRIGGER "{name}"')


def drop_guards(using: str = "default") -> None:
    """Remove the triggers. For tests that must change what is append-only, nothing else."""
    connection = connections[using]
    with connection.cursor() as cursor:
        for model in _ruled_models():
            _drop(cursor, model, {*_names(model._meta.db_table), *_all_names(model, connection.vendor)})


def _drop(cursor: Any, model: type[models.Model], names: Iterable[str]) -> None:
    on = "" if cursor.db.vendor == "sqlite" else f' ON "{model._meta.db_table}"'
    for name in names:
        cursor.execute(f'DROP TRIGGER IF EXISTS "{name}"{on}')


def missing_guards(using: str = "default") -> list[str]:
    """Names of triggers that should be there and are not."""
    connection = connections[using]
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        present = {row[0] for row in cursor.fetchall()}
    return [n for m in _ruled_models() for n in _all_names(m, connection.vendor) if n not in present]


@contextmanager
def guards_lifted(using: str = "default") -> Iterator[None]:
    """For tests: tables can be emptied inside."""
    drop_guards(using)
    try:
        yield
    finally:
        install_guards(using)


def require_guards(using: str = "default") -> None:
    """Refuse to serve or to work on a database whose append-only tables could be changed.

    Called at the start of the web server and of the workers. No system check, because ``migrate``, which mends
    this, runs the system checks first.
    """
    if missing := missing_guards(using):
        raise ImproperlyConfigured(
            f"{counted(len(missing), 'trigger')} missing that keep records append-only, the first is {missing[0]}. "
            "Run `manage.py migrate`, which installs them."
        )


@checks.register(checks.Tags.compatibility)
def check_sqlite_mode(**kwargs: Any) -> list[checks.CheckMessage]:
    """SQLite with DEFERRED transactions loses writes under load ("database is locked")."""
    for connection in connections.all():
        options = connection.settings_dict.get("OPTIONS", {})
        if connection.vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
            return [
                checks.Error(
                    f"SQLite runs with transaction_mode {options.get('transaction_mode')!r}.",
                    hint="Set OPTIONS['transaction_mode'] to 'IMMEDIATE'.",
                    id="leukoweb.E003",
                )
            ]
    return []
