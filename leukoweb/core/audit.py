"""Writing and verifying the audit chain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from leukoweb.core.chain import body_sha256
from leukoweb.core.models import AuditEvent, User

GENESIS = "0" * 64
_CHAIN_LOCK = 0x6C65756B  # any constant: the advisory lock that keeps two writers from extending the same event


def event_body(event: AuditEvent) -> dict[str, Any]:
    """What the hash of an event covers, as plain data."""
    return {
        "previous": event.previous_hash,
        "at": event.at.isoformat(timespec="microseconds") if event.at else None,  # None: damaged beyond reading
        "actor": event.actor_id,
        "actor_name": event.actor_name,
        "action": event.action,
        "target": event.target,
        "data": event.data,
        "reason": event.reason,
    }


def event_hash(event: AuditEvent) -> str:
    """SHA-256 over the previous hash and every field, as canonical JSON."""
    return body_sha256(event_body(event))


def audit_record(
    *, actor: User | None, action: str, target: str = "", data: dict[str, Any] | None = None, reason: str = ""
) -> AuditEvent:
    """Append one event in the caller's transaction, so that the deed and its record stand or fall together."""
    return audit_record_each(actor=actor, action=action, entries=[(target, data or {})], reason=reason)[0]


def audit_record_each(
    *, actor: User | None, action: str, entries: Sequence[tuple[str, dict[str, Any]]], reason: str = ""
) -> list[AuditEvent]:
    """Append an event for each (target, data) of one deed: as many queries for thousands as for one."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
        # On SQLite the transaction itself began with the write lock (transaction_mode IMMEDIATE).
        previous = AuditEvent.objects.order_by("-id").values_list("hash", flat=True).first() or GENESIS
        now, events = timezone.now(), []
        for target, data in entries:
            event = AuditEvent(
                at=now,
                actor=actor,
                actor_name=actor.username if actor else "system",
                action=action,
                target=target,
                data=json.loads(json.dumps(data, default=str)),
                reason=reason,
                previous_hash=previous,
            )
            event.hash = previous = event_hash(event)
            events.append(event)
        return AuditEvent.objects.bulk_create(events, batch_size=500)


@dataclass(frozen=True)
class ChainReport:
    """What walking the chain found; ``broken_id`` names the first event that does not fit."""

    n_events: int
    broken_id: int | None = None
    problem: str = ""

    @property
    def intact(self) -> bool:
        return self.broken_id is None


def chain_verify(events: Iterable[AuditEvent] | None = None) -> ChainReport:
    """Recompute every hash in order of id."""
    previous, count = GENESIS, 0
    stored = AuditEvent.objects.order_by("id")
    try:
        for event in events if events is not None else stored.iterator():
            if event.previous_hash != previous:
                return ChainReport(count, event.pk, "an event before this one is missing, added or out of place")
            if event_hash(event) != event.hash:
                return ChainReport(count, event.pk, "this event was changed after it was written")
            previous, count = event.hash, count + 1
    except (ValueError, DatabaseError):  # what a damaged column says when it is read as JSON, a date or text
        return _unreadable(stored, count)
    return ChainReport(count)


def _unreadable(stored: QuerySet[AuditEvent], count: int) -> ChainReport:
    """The first event that cannot be read at all, found one by one; an earlier one that reads but does not fit wins."""
    readable: list[AuditEvent] = []
    for pk in stored.values_list("pk", flat=True):
        try:
            with transaction.atomic():
                readable.append(stored.get(pk=pk))
        except (ValueError, DatabaseError):
            before = chain_verify(readable)
            return before if not before.intact else ChainReport(len(readable), pk, "this event cannot be read")
    raise RuntimeError(f"reading the chain failed after {count} events, but each of them can be read")
