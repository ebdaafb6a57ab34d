"""``--wait``: follow a job to its end, or do it here where no worker takes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connections
from django.utils import timezone

from leukoweb.core.jobs.execute import execute
from leukoweb.core.jobs.ledger import reap
from leukoweb.core.models import Job

POLL_S = 0.5
PATIENCE_S = 4.0  # a worker that is up takes a job within this time


def see_through(job_id: str, say: Callable[[str], object], patience_s: float = PATIENCE_S) -> Job:
    """Returns the ended job; ``say`` is told every new note of it."""
    ended = threading.Event()
    narrator = threading.Thread(target=_narrate, args=(job_id, say, ended), daemon=True)
    narrator.start()
    try:
        started = time.monotonic()
        while (job := Job.objects.get(pk=job_id)).is_active:
            reap()
            if time.monotonic() - started > patience_s and not _somebody_works(job):
                execute(job.pk)
            else:
                time.sleep(POLL_S)
    finally:
        ended.set()
        narrator.join()
    return job


def _narrate(job_id: str, say: Callable[[str], object], ended: threading.Event) -> None:
    told = ""
    try:
        while not ended.wait(POLL_S):
            note = Job.objects.values_list("note", flat=True).get(pk=job_id)
            if note and note != told:
                told = note
                say(note)
    finally:
        connections.close_all()


def _somebody_works(job: Job) -> bool:
    """A living worker has this queue: it has the job, or takes it next."""
    running = Job.objects.filter(queue=job.queue, status=Job.Status.RUNNING, lease_until__gt=timezone.now())
    return running.exists()
