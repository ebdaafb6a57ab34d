"""How the installation is, in words and in numbers: queue, workers, disk, backups, audit chain."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Case, Count, Min, Q, Value, When
from django.utils import timezone

from leukoweb.core.audit import GENESIS, event_hash
from leukoweb.core.clocks import APART_BAD, APART_WARN, clocks_apart
from leukoweb.core.guards import missing_guards
from leukoweb.core.jobs.registry import QUEUES
from leukoweb.core.mail import mail_configured
from leukoweb.core.models import AuditEvent, Job
from leukoweb.core.words import counted, span_text

GOOD, WARN, BAD = "good", "warn", "bad"
WAITED_TOO_LONG = timedelta(minutes=5)
BACKUP_TOO_OLD = timedelta(days=2)
DISK_LOW, DISK_VERY_LOW = 0.10, 0.03
CHAIN_TAIL = 500


@dataclass(frozen=True)
class Finding:
    """One line of the health page. ``advice`` is empty where nothing has to be done."""

    what: str
    state: str
    words: str
    advice: str = ""


def findings() -> list[Finding]:
    """Everything an admin should know. A constant number of queries, whatever the age of the installation."""
    now = timezone.now()
    return [
        _database(), _guards(), chain_finding(), _clock(now), *_queues(now), _failures(now), _disk(), _files(),
        _backup(now), _mail(),
    ]  # fmt: skip


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
        version = cursor.fetchone()[0]
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    if connection.vendor == "sqlite" and settings.PRODUCTION:
        return Finding(
            "Database", WARN, f"{name} {version}.", "For several people at once, PostgreSQL is the safer choice."
        )
    return Finding("Database", GOOD, f"{name} {version} answers.")


def _guards() -> Finding:
    if missing := missing_guards():
        words = f"{counted(len(missing), 'trigger')} missing that keep records unchangeable."
        return Finding("Unchangeable records", BAD, words, "Run `manage.py migrate` now and find out who removed them.")
    return Finding("Unchangeable records", GOOD, "Every trigger is in place.")


def chain_finding() -> Finding:
    """The newest events only; the audit page walks the whole chain."""
    advice = "Keep the database as it is and compare it with a backup."
    try:
        tail = list(AuditEvent.objects.order_by("-id")[: CHAIN_TAIL + 1])[::-1]
    except ValueError:  # a damaged date
        return Finding("Audit trail", BAD, "An event cannot be read; `manage.py verify_audit` names it.", advice)
    previous = tail[0].hash if len(tail) > CHAIN_TAIL else GENESIS
    for event in tail[1:] if len(tail) > CHAIN_TAIL else tail:
        if event.previous_hash != previous or event_hash(event) != event.hash:
            return Finding("Audit trail", BAD, f"The chain is broken at event {event.pk}.", advice)
        previous = event.hash
    return Finding("Audit trail", GOOD, f"The newest {counted(min(len(tail), CHAIN_TAIL), 'event')} fit together.")


def _clock(now: datetime) -> Finding:
    """A wrong clock opens sessions too early or too late and dates records wrongly; nothing is ordered by it."""
    apart = clocks_apart()
    try:
        newest = AuditEvent.objects.order_by("-id").values_list("at", flat=True).first()
    except ValueError:  # said under "Audit trail"
        newest = None
    advice = "Let every machine take its time from the same source (NTP)."
    if newest is not None and newest - now > APART_BAD:
        words = f"The newest audit event is dated {span_text(newest - now)} in the future: a clock was set back."
        return Finding("Clock", BAD, words, advice)
    if abs(apart) > APART_WARN:
        side = "ahead of" if apart > timedelta() else "behind"
        words = f"This machine is {span_text(abs(apart))} {side} the database."
        return Finding("Clock", BAD if abs(apart) > APART_BAD else WARN, words, advice)
    return Finding("Clock", GOOD, "This machine and the database agree.")


def _queues(now: datetime) -> list[Finding]:
    """A queue where something has waited long and nothing runs has no worker.

    Jobs that a worker put back, because the machine could not do them (a full disk, no store), wait for the machine;
    those that nobody takes up again although their time has come wait for a worker like any other.
    """
    put_back = Q(not_before__gt=now - WAITED_TOO_LONG) & ~Q(error_code="")
    stalled = Case(When(put_back, then=Value(True)), default=Value(False))
    jobs = Job.objects.filter(status__in=Job.ACTIVE).annotate(stalled=stalled).order_by()
    rows = jobs.values("queue", "status", "stalled").annotate(n=Count("pk"), since=Min("created_at"))
    by_kind = {(r["queue"], r["status"], r["stalled"]): r for r in rows}
    found = []
    for queue in QUEUES:
        waiting = by_kind.get((queue, Job.Status.QUEUED, False))
        running = [by_kind[key] for key in by_kind if key[:2] == (queue, Job.Status.RUNNING)]
        n_running = sum(row["n"] for row in running)
        if held_up := by_kind.get((queue, Job.Status.QUEUED, True)):
            found.append(_waits_for_machine(queue, held_up["n"], waiting["n"] if waiting else 0, n_running))
            continue
        if waiting is None:
            words = f"{n_running} running, nothing waits." if n_running else "Nothing to do."
            found.append(Finding(f"Queue {queue}", GOOD, words))
            continue
        waited = now - waiting["since"]
        words = f"{waiting['n']} waiting, the oldest for {span_text(waited)}; {n_running} running."
        if waited > WAITED_TOO_LONG and not n_running:
            found.append(
                Finding(f"Queue {queue}", BAD, words, "No worker of this queue seems to be running: start one.")
            )
        else:
            found.append(Finding(f"Queue {queue}", GOOD, words))
    return found


def _waits_for_machine(queue: str, n: int, n_others: int, n_running: int) -> Finding:
    """A worker of this queue tried a moment ago, so it has one."""
    others = f", {n_others} for their turn" if n_others else ""
    words = f"{n} waiting for the machine (a full disk, or a store that is away){others}; {n_running} running."
    advice = "The Jobs page says what is in the way. They are tried again by themselves."
    return Finding(f"Queue {queue}", WARN, words, advice)


def _failures(now: datetime) -> Finding:
    n = Job.objects.filter(status=Job.Status.FAILED, finished_at__gt=now - timedelta(days=1)).count()
    if n:
        return Finding("Failed jobs", WARN, f"{n} failed in the last 24 hours.", "The Jobs page says why each did.")
    return Finding("Failed jobs", GOOD, "None in the last 24 hours.")


def disk() -> Any:
    """Total, used and free bytes where DATA_DIR is, or will be."""
    path = Path(settings.DATA_DIR)
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists()))


def _disk() -> Finding:
    usage = disk()
    share = usage.free / usage.total
    words = f"{usage.free / 1e9:.0f} GB of {usage.total / 1e9:.0f} GB are free ({100 * share:.0f} %)."
    if share < DISK_VERY_LOW:
        return Finding("Disk", BAD, words, "Free some space now: uploads are about to be refused.")
    return Finding(
        "Disk", WARN if share < DISK_LOW else GOOD, words, "Plan for more space." if share < DISK_LOW else ""
    )


def _files() -> Finding:
    """Whether the folder of stored files takes a file: it may be full, read-only or not mounted."""
    root = Path(settings.BLOB_ROOT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".probe-") as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        words = f"Nothing can be written: {error.strerror}. Uploads are refused; what is stored can be read."
        advice = "Free some space, or look at how the folder is mounted (docs/operations.md, A full or lost disk)."
        return Finding("Stored files", BAD, words, advice)
    return Finding("Stored files", GOOD, "Can be written.")


def _backup(now: datetime) -> Finding:
    newest = AuditEvent.objects.filter(action="backup.take").order_by("-id").first()
    if newest is None:
        advice = "Set up `manage.py backup` every night (docs/operations.md)."
        return Finding("Backup", WARN, "None was taken yet.", advice)
    words = f"The last one was taken {span_text(now - newest.at)} ago."
    if now - newest.at > BACKUP_TOO_OLD:
        return Finding("Backup", WARN, words, "Look whether the nightly backup still runs.")
    if lacking := newest.data.get("missing", 0):
        words += f" {counted(lacking, 'stored file')} could not be saved."
        return Finding("Backup", BAD, words, "Run `manage.py verify_media`, which names what is missing or damaged.")
    return Finding("Backup", GOOD, words)


def _mail() -> Finding:
    if mail_configured():
        return Finding("Mail", GOOD, f"Mails go to {settings.EMAIL_HOST}.")
    words = "No mail server is set: nobody is invited to a study or reminded of a session by mail."
    return Finding("Mail", WARN, words, "Set EMAIL_URL (docs/settings.md), or tell the readers yourself.")
