"""The audit chain and the append-only triggers, each way around them tried."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction

from leukoweb.core import guards
from leukoweb.core.audit import audit_record, chain_verify
from leukoweb.core.models import AuditEvent

pytestmark = pytest.mark.both_databases


def write(n: int = 3, actor: Any = None) -> list[AuditEvent]:
    return [audit_record(actor=actor, action="test.deed", target=f"t:{i}", data={"i": i, "ü": "ß"}) for i in range(n)]


def raw(sql: str) -> Any:
    def run(event: AuditEvent) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, [event.pk] if "%s" in sql else None)

    return run


def change(event: AuditEvent) -> None:
    event.reason = "another"
    event.save()


def bulk(event: AuditEvent) -> None:
    event.reason = "another"
    AuditEvent.objects.bulk_update([event], ["reason"])


WAYS = {
    "save": change,
    "update": lambda e: AuditEvent.objects.filter(pk=e.pk).update(reason="x"),
    "bulk_update": bulk,
    "delete": lambda e: e.delete(),
    "queryset delete": lambda e: AuditEvent.objects.all().delete(),
    "raw update": raw("UPDATE core_auditevent SET reason = 'x' WHERE id = %s"),
    "raw delete": raw("DELETE FROM core_auditevent WHERE id = %s"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_change_an_event(way: str) -> None:
    event = write()[1]
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        WAYS[way](event)
    assert AuditEvent.objects.count() == 3
    assert chain_verify().intact


@pytest.mark.django_db(transaction=True)
def test_truncate_is_refused_on_postgresql() -> None:
    if connection.vendor != "postgresql":
        return  # SQLite has no TRUNCATE
    write()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE core_auditevent CASCADE")


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["actor_name", "action", "target", "data", "reason", "at", "hash", "previous_hash"])
def test_a_change_behind_the_triggers_is_located(column: str) -> None:
    events = write(5)
    new: Any = {"data": {"i": 99}, "at": events[0].at, "hash": "0" * 64, "previous_hash": "1" * 64}.get(
        column, "forged"
    )
    with guards.guards_lifted():
        AuditEvent.objects.filter(pk=events[2].pk).update(**{column: new})
    report = chain_verify()
    assert report.broken_id == events[2].pk


@pytest.mark.django_db
def test_a_removed_event_is_located() -> None:
    events = write(5)
    with guards.guards_lifted():
        AuditEvent.objects.filter(pk=events[2].pk).delete()
    assert chain_verify().broken_id == events[3].pk


@pytest.mark.django_db
def test_the_record_falls_with_the_deed() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        write(1)
        raise RuntimeError
    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_racing_writers_make_one_chain() -> None:
    def work() -> None:
        write(10)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = chain_verify()
    assert (report.intact, report.n_events) == (True, 40)


@pytest.mark.django_db
def test_missing_triggers_are_named_and_stop_the_start() -> None:
    assert guards.missing_guards() == []
    guards.drop_guards()
    try:
        with pytest.raises(ImproperlyConfigured, match="triggers missing"):
            guards.require_guards()
    finally:
        guards.install_guards()
    guards.require_guards()


@pytest.mark.django_db(transaction=True)
def test_migrate_brings_lost_triggers_back() -> None:
    guards.drop_guards()
    call_command("migrate", verbosity=0)
    assert guards.missing_guards() == []


def test_deferred_transactions_are_refused(settings: Any) -> None:
    options = connection.settings_dict.get("OPTIONS", {})
    if connection.vendor != "sqlite":
        assert guards.check_sqlite_mode() == []
        return
    before = options["transaction_mode"]
    options["transaction_mode"] = "DEFERRED"
    try:
        assert guards.check_sqlite_mode()[0].id == "leukoweb.E003"
    finally:
        options["transaction_mode"] = before
