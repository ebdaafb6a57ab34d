"""A worker without a broker: polls the ledger, does the jobs of its queues, one at a time."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from leukoweb.core.guards import require_guards
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.execute import execute
from leukoweb.core.jobs.registry import QUEUES

POLL_S = 0.2
REAP_EVERY_S = 5.0


class Command(BaseCommand):
    help = "Do queued jobs without a broker, until stopped (or until none waits, with --drain)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", default=",".join(QUEUES))
        parser.add_argument("--drain", action="store_true", help="end when no job waits")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = options["queues"].split(",")
        if unknown := set(queues) - set(QUEUES):
            raise CommandError(f"Unknown queue {sorted(unknown)[0]!r}; the queues are {', '.join(QUEUES)}.")
        require_guards()
        stopping: list[int] = []

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stopping.append(number)

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        next_reap = 0.0
        while not stopping:
            try:
                if time.monotonic() >= next_reap:
                    next_reap = time.monotonic() + REAP_EVERY_S
                    ledger.reap()
                job_id = ledger.next_waiting(queues)
                if job_id is not None:
                    execute(job_id)
                    continue
            except DatabaseError as error:
                self.stderr.write(f"The database does not answer: {error}")
                connections.close_all()
            if options["drain"]:
                return
            time.sleep(POLL_S)
