"""Every change of a Job row. Each is one conditional UPDATE, so that two workers can race and one of them wins.

Leases are given and judged by the database's clock: a worker whose own clock is wrong neither loses its job nor keeps
a dead one.

These are the machine's changes, so they know every job, also inside a request of somebody who sees the own jobs only
(``core.blindfold``): two people who ask for the same work share one job. What is shown of a job is for its page to say.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, DateTimeField, F, PositiveSmallIntegerField, Q, TextField, Value, When
from django.db.models.functions import Coalesce, Concat, Greatest, Least
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.clocks import shared_now
from leukoweb.core.exceptions import Conflict
from leukoweb.core.jobs import registry
from leukoweb.core.models import Job, User

RING_AGAIN = 20  # of each queue
STALL_PAUSE_S = 30
STALL_LIMIT = timedelta(days=1)
STALL_OVER = timedelta(hours=6)  # due for so long without anybody trying: the next stall is another one
Status = Job.Status
_rows = Job._base_manager


@dataclass(frozen=True)
class Claim:
    """The right to work on a job; ``fence`` tells this claim from every earlier and later one."""

    job_id: uuid.UUID
    kind: str
    payload: dict[str, Any]
    fence: int
    attempt: int


def job_create(
    *, kind: str, title: str, payload: dict[str, Any], actor: User | None, key: str = "", total_units: int = 0
) -> Job:
    """Write a queued job; with ``key``, return the unfinished job of that key if there is one.

    The caller rings the bell (``core.jobs.bell.ring``) when its own transaction is right.
    """
    known = registry.kind(kind)
    if key and (running := _rows.filter(key=key, status__in=Job.ACTIVE).first()):
        return running
    try:
        with transaction.atomic():
            return _rows.create(
                kind=kind, queue=known.queue, unit=known.unit, title=title[:200], payload=payload,
                key=key, total_units=total_units, created_by=actor,
            )  # fmt: skip
    except IntegrityError:
        return _rows.get(key=key, status__in=Job.ACTIVE)  # somebody else created it between the two lines


def _claimable(now: datetime) -> Q:
    ready = Q(status=Status.QUEUED) & (Q(not_before=None) | Q(not_before__lte=now))
    abandoned = Q(status=Status.RUNNING, lease_until__lt=now)
    return (ready | abandoned) & Q(attempt__lt=settings.JOB_MAX_ATTEMPTS, cancel_requested=False)


def job_claim(job_id: uuid.UUID, owner: str) -> Claim | None:
    """Take the job if it waits or was abandoned; None if it is somebody else's, finished or worn out."""
    now = shared_now()
    won = (
        _rows.filter(_claimable(now), pk=job_id)
        .update(
            status=Status.RUNNING, owner=owner[:80], fence=F("fence") + 1, attempt=F("attempt") + 1,
            lease_until=now + timedelta(seconds=settings.JOB_LEASE_S), started_at=now, finished_at=None,
            error="", error_code="", hint="",
        )
    )  # fmt: skip
    if not won:
        return None
    job = _rows.get(pk=job_id)
    if job.owner != owner[:80]:
        return None
    return Claim(job.pk, job.kind, job.payload, job.fence, job.attempt)


def next_waiting(queues: list[str]) -> uuid.UUID | None:
    """The oldest job that could be claimed now; for workers that poll."""
    waiting = _rows.filter(_claimable(shared_now()), queue__in=queues)
    return waiting.order_by("created_at").values_list("pk", flat=True).first()


def _mine(claim: Claim) -> Any:
    return _rows.filter(pk=claim.job_id, fence=claim.fence, status=Status.RUNNING)


def holds(claim: Claim, *, lock: bool = False) -> bool:
    """Whether the claim is still the newest. With ``lock``, also until the transaction ends."""
    rows = _mine(claim)
    return bool((rows.select_for_update() if lock else rows).values_list("pk", flat=True).first())


def heartbeat(claim: Claim) -> bool:
    """Renew the lease; False if the claim is lost or a cancel was asked for."""
    until = shared_now() + timedelta(seconds=settings.JOB_LEASE_S)
    return bool(_mine(claim).filter(cancel_requested=False).update(lease_until=until))


def cancel_wanted(claim: Claim) -> bool:
    return bool(_mine(claim).filter(cancel_requested=True).exists())


def job_progress(claim: Claim, *, done: int, total: int, note: str = "") -> bool:
    """Record saved progress. False if the claim is lost.

    Getting further than any attempt before forgives the earlier ones; repeating what was saved forgives nothing, or
    work that kills its worker would be tried for ever. So progress never falls, also where an attempt counts anew.
    """
    furthest = Least(Greatest(F("done_units"), Value(done)), Value(total))
    attempt = Case(
        When(done_units__lt=done, then=Value(0)), default=F("attempt"), output_field=PositiveSmallIntegerField()
    )
    stalled = Case(When(done_units__lt=done, then=None), default=F("stalled_since"), output_field=DateTimeField())
    return bool(
        _mine(claim).update(
            done_units=furthest, total_units=total, note=note[:300], attempt=attempt, stalled_since=stalled
        )
    )


def job_finish(claim: Claim, note: str = "") -> bool:
    fields: dict[str, Any] = {
        "status": Status.DONE, "finished_at": timezone.now(), "lease_until": None, "stalled_since": None
    }  # fmt: skip
    if note:
        fields["note"] = note[:300]
    return bool(_mine(claim).update(**fields))


def job_fail(claim: Claim, *, code: str, message: str, hint: str = "") -> bool:
    return bool(
        _mine(claim).update(
            status=Status.FAILED, finished_at=timezone.now(), lease_until=None,
            error_code=code[:40], error=message, hint=hint,
        )
    )  # fmt: skip


def job_put_back(claim: Claim, *, message: str) -> bool:
    """After an unexpected error: wait a little and try again, or fail when the attempts are used up.

    The row counts them, not the claim: progress since the claim has forgiven the earlier ones.
    A job that somebody cancelled meanwhile ends here: waiting with a cancel on it, nobody could ever take it.
    """
    worn_out = _mine(claim).filter(attempt__gte=settings.JOB_MAX_ATTEMPTS).update(
        status=Status.FAILED, finished_at=timezone.now(), lease_until=None, error_code="E_UNEXPECTED",
        error=f"Failed {settings.JOB_MAX_ATTEMPTS} times in a row; the last time: {message}",
        hint="The log of the worker has the details. Retry when the cause is gone.",
    )  # fmt: skip
    if worn_out:
        return True
    now = shared_now()
    row = _mine(claim).values_list("attempt", flat=True).first()
    later = now + timedelta(seconds=2 ** (row or 0))
    return bool(
        _mine(claim).update(
            **_queued_or_cancelled(now), not_before=later, lease_until=None, error=message, rung_at=None,
            stalled_since=None,
        )
    )


def job_stall(claim: Claim, *, code: str, message: str, hint: str) -> bool:
    """The machine cannot do the work now (no room, no object store): try again in half a minute to a minute.

    It costs no attempt, or a short outage would fail a whole queue. After a day of trying without any progress the job
    fails; a day in which nobody tried, or that another error interrupted, does not count.
    """
    now = shared_now()
    untried = Q(started_at__gt=F("not_before") + STALL_OVER)
    tried = Q(not_before=None) | Q(started_at=None) | Q(started_at__lte=F("not_before") + STALL_OVER)
    stalled = {"lease_until": None, "error_code": code[:40], "hint": hint}
    if _mine(claim).filter(tried, stalled_since__lt=now - STALL_LIMIT).update(
        status=Status.FAILED, finished_at=now, error=f"It was tried again for a day. {message}", **stalled
    ):
        return True
    attempt = Case(When(attempt__gt=0, then=F("attempt") - 1), default=0, output_field=PositiveSmallIntegerField())
    later = now + timedelta(seconds=STALL_PAUSE_S + claim.job_id.int % STALL_PAUSE_S)  # not all at the same moment
    return bool(
        _mine(claim).update(
            **_queued_or_cancelled(now), **stalled, not_before=later, error=message, rung_at=None, attempt=attempt,
            stalled_since=Case(
                When(untried, then=Value(now)), default=Coalesce("stalled_since", Value(now)),
                output_field=DateTimeField(),
            ),
        )
    )  # fmt: skip


def _queued_or_cancelled(now: datetime) -> dict[str, Any]:
    """Back to the queue unless a cancel was asked for, decided by the row in the same UPDATE."""
    cancelled = Q(cancel_requested=True)
    return {
        "status": Case(When(cancelled, then=Value(Status.CANCELLED)), default=Value(Status.QUEUED)),
        "finished_at": Case(When(cancelled, then=Value(now)), default=None, output_field=DateTimeField()),
    }


def job_mark_cancelled(claim: Claim) -> bool:
    return bool(_mine(claim).update(status=Status.CANCELLED, finished_at=timezone.now(), lease_until=None))


def job_cancel(*, actor: User, job: Job, reason: str = "") -> Job:
    """A waiting job ends now; a running one stops at its next checkpoint and keeps what it has saved."""
    with transaction.atomic():
        waits = Q(status=Status.QUEUED)  # one UPDATE: a worker that puts the job back meanwhile cannot slip through
        asked = _rows.filter(pk=job.pk, status__in=Job.ACTIVE).update(
            status=Case(When(waits, then=Value(Status.CANCELLED)), default=F("status")),
            finished_at=Case(When(waits, then=Value(timezone.now())), default=F("finished_at")),
            cancel_requested=True,
        )
        if not asked:
            job.refresh_from_db()
            raise Conflict(f"This job is {job.get_status_display().lower()} already; there is nothing to cancel.")
        audit_record(actor=actor, action="job.cancel", target=f"job:{job.pk}", reason=reason, data={"title": job.title})
    job.refresh_from_db()
    return job


def waiting_cancel(which: Q) -> int:
    """End those of ``which`` that wait, in one UPDATE; returns how many. What runs is left to end by itself.

    The caller has a reason and a name for all of them together, and records that.
    """
    fields = {"status": Status.CANCELLED, "finished_at": timezone.now(), "cancel_requested": True}
    return _rows.filter(which, status=Status.QUEUED).update(**fields)


def job_retry(*, actor: User | None, job: Job) -> Job:
    """Queue a failed or cancelled job again; it resumes from what it saved."""
    try:
        with transaction.atomic():
            again = _rows.filter(pk=job.pk, status__in=[Status.FAILED, Status.CANCELLED]).update(
                status=Status.QUEUED, attempt=0, cancel_requested=False, not_before=None, finished_at=None,
                error="", error_code="", hint="", rung_at=None, stalled_since=None, done_units=0,
            )  # fmt: skip
            if not again:
                raise Conflict("Only a failed or cancelled job can be retried.")
            audit_record(actor=actor, action="job.retry", target=f"job:{job.pk}", data={"title": job.title})
    except IntegrityError as error:
        raise Conflict("The same work is already queued as another job.") from error
    job.refresh_from_db()
    return job


def reap() -> list[uuid.UUID]:
    """Mend what dead workers left and return the jobs whose bell should be rung again.

    A job whose lease ran out goes back to the queue, or fails after the attempts that decision 4 allows; with a cancel
    on it, it ends. The oldest waiting jobs are rung again when their bells may have been lost: soon if nothing else
    runs on their queue, rarely otherwise.
    """
    now = shared_now()
    abandoned = _rows.filter(status=Status.RUNNING, lease_until__lt=now)
    abandoned.filter(cancel_requested=True).update(status=Status.CANCELLED, finished_at=now, lease_until=None)
    _rows.filter(status=Status.QUEUED, cancel_requested=True).update(status=Status.CANCELLED, finished_at=now)
    abandoned.filter(attempt__gte=settings.JOB_MAX_ATTEMPTS).update(
        status=Status.FAILED, finished_at=now, lease_until=None, error_code="E_WORKER_LOST",
        error=Concat(
            Value(f"The worker died {settings.JOB_MAX_ATTEMPTS} times on this job without getting any further."),
            Case(When(note="", then=Value("")), default=Concat(Value(" It was at: "), "note", Value("."))),
            output_field=TextField(),
        ),
        hint="Where a field is named, look at it and remove it or upload it anew; otherwise look for an out-of-memory "
        "kill in the system log. Then retry.",
    )  # fmt: skip
    abandoned.update(**_queued_or_cancelled(now), lease_until=None, rung_at=None)
    return _due_bells(now)


def _due_bells(now: datetime) -> list[uuid.UUID]:
    """Of each queue's oldest few: those that were never rung, or long ago. The others' turn comes as these are done.

    A queue of thousands that moves slowly must not be rung as a whole every few minutes: its bells would pile up in
    the broker's memory.
    """
    busy = set(_rows.filter(status=Status.RUNNING).values_list("queue", flat=True))
    waiting = _rows.filter(_claimable(now), status=Status.QUEUED)
    due: list[uuid.UUID] = []
    for queue in sorted(set(waiting.order_by().values_list("queue", flat=True).distinct())):
        before = now - timedelta(seconds=120 if queue in busy else 10)
        oldest = waiting.filter(queue=queue).order_by("created_at").values_list("pk", "rung_at")[:RING_AGAIN]
        due += [pk for pk, rung_at in oldest if rung_at is None or rung_at < before]
    return due
