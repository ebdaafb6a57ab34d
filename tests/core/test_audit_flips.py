"""One flipped byte anywhere in the audit trail is found, and the event that holds it is named."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from leukoweb.core.audit import audit_record, chain_verify, event_body
from leukoweb.core.guards import guards_lifted
from leukoweb.core.health import findings
from leukoweb.core.models import AuditEvent

pytestmark = pytest.mark.django_db  # SQLite, whose columns take any text; PostgreSQL refuses most such bytes itself
TEXTS = ("actor_name", "action", "target", "data", "reason", "at", "previous_hash", "hash")
N_EVENTS, SEED = 40, 20_261_126


def stored(pk: int, column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CAST({column} AS TEXT) FROM core_auditevent WHERE id = %s", [pk])
        return str(cursor.fetchone()[0])


def store(pk: int, column: str, value: str) -> None:
    """Past the triggers and past the check that ``data`` is JSON, as a fault of the disk would."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute(f"UPDATE core_auditevent SET {column} = %s WHERE id = %s", [value, pk])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")


def flipped(text: str, chooser: random.Random) -> str:
    """One bit of one byte; the result stays ASCII, so that the database takes it as text."""
    data = bytearray(text.encode("ascii"))
    while True:
        place, bit = chooser.randrange(len(data)), chooser.randrange(7)
        changed = data[place] ^ (1 << bit)
        if changed >= 0x20 and changed != 0x7F:
            data[place] = changed
            return data.decode("ascii")


def means_the_same(event: AuditEvent) -> bool:
    try:
        now = AuditEvent.objects.get(pk=event.pk)
    except ValueError:
        return False
    return (event_body(now), now.hash) == (event_body(event), event.hash)


def make_events(user: Any) -> list[AuditEvent]:
    return [
        audit_record(
            actor=user, action=f"test.deed{n % 7}", target=f"thing:{n}", data={"n": n, "word": "smear", "of": [1.5, n]},
            reason=f"because of {n}",
        )
        for n in range(N_EVENTS)
    ]  # fmt: skip


@pytest.mark.parametrize("trials", [pytest.param(40, id="fast"), pytest.param(200, id="full", marks=pytest.mark.slow)])
def test_of_flipped_bytes_each_is_located(trials: int, admin_user: Any) -> None:
    events, chooser = make_events(admin_user), random.Random(SEED)
    found = unreadable = 0
    with guards_lifted():
        for _ in range(trials):
            event, column = chooser.choice(events), chooser.choice(TEXTS)
            before = stored(event.pk, column)
            store(event.pk, column, flipped(before, chooser))
            while means_the_same(event):  # a comma for the point of a second: another byte, no other time
                store(event.pk, column, flipped(before, chooser))
            report = chain_verify()
            found += report.broken_id == event.pk
            unreadable += report.problem == "this event cannot be read"
            store(event.pk, column, before)
        assert chain_verify().intact
    print(f"{found} of {trials} located, seed {SEED}; {unreadable} of them could not even be read")
    assert found == trials


def test_the_command_names_an_event_that_cannot_be_read(admin_user: Any) -> None:
    event = make_events(admin_user)[5]
    with guards_lifted():
        store(event.pk, "at", "2026-13-45 00:00:00")
        assert "An event cannot be read" in {finding.what: finding.words for finding in findings()}["Audit trail"]
        with pytest.raises(CommandError, match=f"Broken at event {event.pk}: this event cannot be read"):
            call_command("verify_audit")
