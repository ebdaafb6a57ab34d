"""The keeper as a process of its own, for deployments without the launcher."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connections

from leukoweb.core.jobs.bell import reap_and_ring


class Command(BaseCommand):
    help = "Every 5 seconds: put abandoned jobs back into the queue and ring lost bells again."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        while not stop.wait(5.0):
            try:
                reap_and_ring()
            except DatabaseError as error:
                self.stderr.write(f"The database does not answer: {error}")
                connections.close_all()
