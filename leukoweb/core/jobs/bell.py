"""The one place that talks to the broker. A dead broker never blocks or fails a request: the reaper rings again."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from functools import partial

from django.conf import settings
from django.db import transaction

from leukoweb.core.clocks import shared_now
from leukoweb.core.models import Job

log = logging.getLogger(__name__)


def ring(job_id: uuid.UUID | str) -> None:
    """Tell a worker, after the current transaction has committed, that this job waits."""
    transaction.on_commit(partial(publish, job_id), robust=True)


def ring_all(job_ids: Iterable[uuid.UUID | str]) -> None:
    """Ring for each after the commit, until a bell fails: a dead broker then costs one wait, not one per job.

    The reaper rings the rest.
    """
    transaction.on_commit(partial(publish_all, list(job_ids)), robust=True)


def publish_all(job_ids: Iterable[uuid.UUID | str]) -> int:
    """Send the ids in order, up to the first that fails. Returns how many were sent."""
    rung = 0
    for job_id in job_ids:
        if not publish(job_id):
            break
        rung += 1
    return rung


def publish(job_id: uuid.UUID | str) -> bool:
    """Send the id to the job's queue now. False if no broker could be reached (the job stays queued)."""
    if not settings.CELERY_BROKER_URL:
        return False  # workers poll the ledger
    from leukoweb.core.tasks import run_job

    # Whoever asks for work that somebody else has asked for already rings that person's job, on its own queue.
    queue = Job._base_manager.filter(pk=job_id).values_list("queue", flat=True).first()
    try:
        run_job.apply_async(args=[str(job_id)], queue=queue, retry=True)
    except Exception as error:  # kombu, redis and socket errors have no common ancestor
        log.warning("the broker could not be reached (%s); job %s is rung again later", error, job_id)
        return False
    Job._base_manager.filter(pk=job_id).update(rung_at=shared_now())
    return True


def reap_and_ring() -> int:
    """One round of the reaper, which also queues the daily chores. Returns how many bells were rung."""
    from leukoweb.core.jobs import ledger
    from leukoweb.core.jobs.daily import daily_create

    daily_create()
    return publish_all(ledger.reap())
