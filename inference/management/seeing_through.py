"""``--wait``: follow jobs to their end, or do them here where no worker takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections

from leukoweb.core.clocks import shared_now
from leukoweb.core.jobs.execute import execute
from leukoweb.core.jobs.ledger import reap
from leukoweb.core.models import Job

POLL_S = 0.5
NARRATE_S = 1.0
PATIENCE_S = 4.0  # a worker that is up takes a job within this time; then it is done here


@dataclass
class Onlooker:
    """Sees jobs through one after the other, telling each new line that ``words`` makes of a job."""

    say: Callable[[str], object]
    words: Callable[[Job], str]
    patience_s: float = PATIENCE_S
    told: str = ""

    def see_through(self, job_id: Any) -> Job:
        """Returns the ended job."""
        started = time.monotonic()
        while (job := Job.objects.get(pk=job_id)).is_active:
            self._tell(job)
            waited = time.monotonic() - started >= self.patience_s
            if not (waited and not _somebody_works(job) and self._do_here(job)):
                time.sleep(POLL_S)  # also where nothing can be claimed yet, as after an unexpected error
        return job

    def _do_here(self, job: Job) -> bool:
        """Be the worker of this job. False if it cannot be claimed (now)."""
        reap()  # ends what has died too often, which no claim would ever take
        with self._narrated(job):
            done = execute(job.pk)
        if done:
            self.patience_s = 0.0  # nobody took this one, so nobody will take the next
        return done

    @contextmanager
    def _narrated(self, job: Job) -> Iterator[None]:
        ended = threading.Event()

        def narrate() -> None:
            try:
                while not ended.wait(NARRATE_S):
                    if (now := Job.objects.filter(pk=job.pk).first()) is not None:
                        self._tell(now)
            finally:
                connections.close_all()

        narrator = threading.Thread(target=narrate, daemon=True)
        narrator.start()
        try:
            yield
        finally:
            ended.set()
            narrator.join()

    def _tell(self, job: Job) -> None:
        words = self.words(job)
        if words and words != self.told:
            self.told = words
            self.say(words)


def _somebody_works(job: Job) -> bool:
    """A living worker has this queue: it has the job, or takes it next."""
    running = Job.objects.filter(queue=job.queue, status=Job.Status.RUNNING, lease_until__gt=shared_now())
    return running.exists()
