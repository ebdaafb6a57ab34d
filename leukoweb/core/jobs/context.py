"""What a job's function is given: its payload, progress, the cancel flag and the fence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from leukoweb.core.jobs import ledger

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5  # a cancel is noticed this soon where the work looks up often


class JobCancelled(Exception):
    """Somebody asked for a cancel; what was saved stays."""


class LeaseLost(Exception):
    """Another worker has the job now; this one must write nothing more."""


class JobContext:
    """Handed to a job's function, which calls ``progress`` after each saved chunk and ``write`` around each write."""

    def __init__(self, claim: ledger.Claim) -> None:
        self.claim = claim
        self.payload: dict[str, Any] = claim.payload
        self._stop = threading.Event()
        self._trouble = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)
        self._looked = time.monotonic()
        self._afterwards: list[Callable[[], object]] = []

    @property
    def job_id(self) -> str:
        return str(self.claim.job_id)

    def check(self) -> None:
        """Raise if the work should stop. Cheap: asks the database twice a second at most."""
        if not self._trouble.is_set() and time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        if ledger.cancel_wanted(self.claim):
            raise JobCancelled
        if not ledger.holds(self.claim):
            raise LeaseLost

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say what is saved so far; raises when cancelled or when the lease is lost."""
        if not ledger.job_progress(self.claim, done=done, total=total, note=note):
            raise LeaseLost
        if ledger.cancel_wanted(self.claim):
            raise JobCancelled

    def when_done(self, step: Callable[[], object]) -> None:
        """Do ``step`` once the ledger says that the job is done, such as removing what it was made from.

        Before that a kill would find the work done, its source gone and the job still to be finished.
        """
        self._afterwards.append(step)

    def done(self) -> None:
        """A step that fails changes nothing of the work; the daily sweep removes what stayed."""
        for step in self._afterwards:
            try:
                step()
            except OSError as error:
                log.warning("job %s %s: not put away: %s", self.claim.kind, self.claim.job_id, error)

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction that commits only while this worker still holds the job."""
        with transaction.atomic():
            if not ledger.holds(self.claim, lock=True):
                raise LeaseLost
            yield

    @contextmanager
    def beating(self) -> Iterator[JobContext]:
        """Renew the lease in a thread of its own for as long as the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(settings.JOB_LEASE_S / 5):
                try:
                    alive = ledger.heartbeat(self.claim)
                except Exception:  # the database may be restarting: the next beat tells
                    connections.close_all()
                    continue
                if not alive:
                    self._trouble.set()
                    return
        finally:
            connections.close_all()
