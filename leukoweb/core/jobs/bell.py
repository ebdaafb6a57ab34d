"""The one place that talks to the broker. A dead broker never blocks or fails a request: the keeper rings again."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction

from leukoweb.core.clocks import shared_now
from leukoweb.core.jobs.ledger import RING_AGAIN
from leukoweb.core.models import Job

log = logging.getLogger(__name__)


def ring(job_id: uuid.UUID | str) -> None:
    """Tell a worker, after the current transaction has committed, that this job waits."""
    transaction.on_commit(partial(publish, job_id), robust=True)


def ring_all(job_ids: Iterable[uuid.UUID | str]) -> None:
    """Ring for each after the commit, until a bell fails: a dead broker then costs one wait, not one per job.

    The keeper rings the rest.
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


def bells_waiting(queue: str, connection: Any) -> int:
    """How many messages of the queue no worker has taken yet.

    Bells carry no expiry: Redis would keep an expired one all the same, and a worker whose clock is wrong would drop
    good ones. What bounds them is that nothing is rung again while enough of them wait.
    """
    channel = connection.channel()  # not the default one, which would wait for a dead broker for ever
    # Declared as Celery does, and not "passive": with a key prefix kombu then finds no queue on Redis.
    return int(channel.queue_declare(queue=queue, durable=True, auto_delete=False).message_count)


def ring_again(job_ids: Sequence[uuid.UUID]) -> int:
    """Ring those whose queue has lost its bells: a queue with enough of them left in the broker needs no more.

    Returns how many were sent. Any bell does: the worker that hears it takes its job, and the next round rings others.
    """
    if not settings.CELERY_BROKER_URL or not job_ids:
        return 0
    from leukoweb.core.tasks import run_job

    queues = dict(Job._base_manager.filter(pk__in=job_ids).values_list("pk", "queue"))
    try:
        with run_job.app.connection_for_write(connect_timeout=2) as connection:
            room = {queue: RING_AGAIN - bells_waiting(queue, connection) for queue in set(queues.values())}
    except Exception as error:  # as in publish: no common ancestor
        log.warning("the broker could not be reached (%s); waiting jobs are rung again later", error)
        return 0
    chosen: list[uuid.UUID] = []
    for job_id in job_ids:
        if job_id in queues and room[queues[job_id]] > 0:
            room[queues[job_id]] -= 1
            chosen.append(job_id)
    return publish_all(chosen)


def reap_and_ring() -> int:
    """One round of the keeper, which also queues the daily chores. Returns how many bells were rung."""
    from leukoweb.core.jobs import ledger
    from leukoweb.core.jobs.daily import daily_create

    daily_create()
    return ring_again(ledger.reap())
