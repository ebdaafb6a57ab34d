"""The audit trail as one person may read it: found by filters, and without what this person must not see.

That something happened, when, to what and by whom is told to everybody with ``audit.view``. Details and reasons can
hold more: a code that was corrected because a name stood in it, a panel's diagnosis. Apps register a rule for such
actions; where it says no, details are withheld, and a search does not look into them either.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import IO, Any

from django.db.models import BooleanField, Case, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.audit_targets import Named, target_names, target_parts
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.permissions import has_action
from leukoweb.statistics.cells import safe_cell

COLUMNS = ("number", "at", "who_id", "who", "action", "on", "reason", "details", "withheld", "previous_hash", "hash")
KINDS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}

_needs: dict[str, str] = {"user.": "users.manage"}
_rules: dict[str, str] = {}


def register_details_action(prefix: str, action: str) -> None:
    """Details of events whose action begins with ``prefix`` are for roles that may do ``action``."""
    _needs[prefix] = action


def register_details_rule(prefix: str, path: str) -> None:
    """The same by a rule: ``package.module:function(user) -> Q`` of the events whose details this person may see."""
    _rules[prefix] = path


@dataclass(frozen=True)
class Asked:
    """Filters; empty ones let everything pass. Days are those of the installation's time zone, both included."""

    who: str = ""
    action: str = ""
    on: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""


def audit_events(*, for_user: User, asked: Asked) -> QuerySet[AuditEvent]:
    """Newest first; ``event.open`` says whether its details may be shown. Nobody without ``audit.view`` gets any.

    The history of an object holds what belongs to it: that of one's own study its sessions and analyses too.
    """
    if not has_action(for_user, "audit.view"):
        return AuditEvent.objects.none()
    details = details_for(for_user)
    found = AuditEvent.objects.annotate(
        open=Case(When(details, then=Value(True)), default=Value(False), output_field=BooleanField())
    )
    if asked.who:
        found = found.filter(actor_name__icontains=asked.who)
    if asked.action:
        found = found.filter(action=asked.action)
    if asked.on:
        parts = Q(target__in=target_parts(for_user, asked.on))
        found = found.filter(Q(target=asked.on) | Q(target__startswith=f"{asked.on}:") | parts)
    zone = timezone.get_current_timezone()
    if asked.since and asked.since.year > 1:  # at the ends of the calendar UTC has no such day
        found = found.filter(at__gte=datetime.combine(asked.since, time(), zone))
    if asked.until and asked.until.year < 9999:
        found = found.filter(at__lt=datetime.combine(asked.until + timedelta(days=1), time(), zone))
    if asked.text:
        found = found.filter(open=True).annotate(said=Cast("data", TextField()))
        written = json.dumps(asked.text)[1:-1]  # SQLite keeps JSON in ASCII
        said = Q(said__icontains=asked.text) | Q(said__icontains=written)
        found = found.filter(said | Q(reason__icontains=asked.text))
    return found.order_by("-id")


def named_events(user: User, events: Iterable[AuditEvent]) -> list[tuple[AuditEvent, Named | None]]:
    """Each event with what its object is called, where this person may know that."""
    found = list(events)
    names = target_names(user, [event.target for event in found])
    return [(event, names.get(event.target)) for event in found]


def details_for(user: User) -> Q:
    """Which events this person may see whole. As many queries as rules make, whatever the number of events."""
    hidden = Q(pk__in=[])
    for prefix, action in _needs.items():
        if not has_action(user, action):
            hidden |= Q(action__startswith=prefix)
    for prefix, path in _rules.items():
        module, _, function = path.partition(":")
        hidden |= Q(action__startswith=prefix) & ~getattr(import_module(module), function)(user)
    return ~hidden


def audit_actions() -> list[str]:
    """Every action that is in the trail. 1 query."""
    return list(AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct())


def audit_export(*, actor: User, asked: Asked, kind: str, file: IO[bytes]) -> int:
    """Write what ``actor`` may see into ``file``, oldest first; then record that, with the file's hash.

    All rows come from one statement, so they are one state of the trail, whatever is written meanwhile; the event
    that records the export is not in its own file. Returns the number of events.
    """
    digest, count = hashlib.sha256(), 0
    rows = audit_events(for_user=actor, asked=asked).order_by("id").iterator(chunk_size=2000)
    for line in _lines(rows, kind):
        file.write(line)
        digest.update(line)
        count += 1
    count -= kind == "csv"  # its header
    filters = {name: str(value) for name, value in vars(asked).items() if value}
    audit_record(
        actor=actor, action="audit.export", target="audit",
        data={"format": kind, "events": count, "sha256": digest.hexdigest(), "filters": filters},
    )  # fmt: skip
    return count


def _lines(rows: Iterator[AuditEvent], kind: str) -> Iterator[bytes]:
    if kind == "csv":
        yield ("\ufeff" + _csv(COLUMNS)).encode()
    for event in rows:
        row = _row(event)
        if kind == "csv":
            row["details"] = "" if row["withheld"] else json.dumps(event.data, ensure_ascii=False, sort_keys=True)
            yield _csv([("yes" if v is True else "no" if v is False else v) for v in row.values()]).encode()
        else:
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _row(event: AuditEvent) -> dict[str, Any]:
    shown = event.open  # type: ignore[attr-defined]
    values = (
        event.pk, event.at.isoformat(timespec="microseconds"), event.actor_id, event.actor_name, event.action,
        event.target, event.reason if shown else "", event.data if shown else None, not shown, event.previous_hash,
        event.hash,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _csv(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(["" if cell is None else safe_cell(cell) for cell in cells])
    return out.getvalue()
