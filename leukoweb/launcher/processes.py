"""Child processes that start together, are started again when they die, and stop together. Free of Django."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_BYTES_MAX = 20_000_000


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel sends a child SIGTERM when its launcher dies, however it died."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def set_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the launcher died before the line above
            os._exit(1)

    return set_signal


@dataclass
class Child:
    """One supervised process with a log of its own."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    next_start: float = 0.0
    asked: bool = False
    stops_last: bool = False

    def start(self, env: dict[str, str]) -> None:
        self.trim_log()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command lines
                self.command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops the others in order
                preexec_fn=_end_with_parent(),
            )

    def trim_log(self) -> None:
        """Keep what a large log holds as ``.1``, instead of the one before it, and go on with an empty one.

        A copy: the child goes on writing into the file that it has, and at its end (it was opened to append). Lines
        that it writes between the two steps are lost.
        """
        with contextlib.suppress(OSError):  # no log yet, or no room for a copy: nothing to stop the launcher for
            if self.log.stat().st_size > LOG_BYTES_MAX:
                shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
                os.truncate(self.log, 0)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal_group(self, number: int) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM, once: a second one would cut a worker's orderly end short."""
        if self.alive and self.process and not self.asked:
            self.asked = True
            self.process.terminate()

    def stop(self, patience_s: float) -> None:
        """Ask, wait, then SIGKILL the whole group, so that nothing of it is left."""
        if self.process is None:
            return
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        self.signal_group(signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """Keeps children alive until ``stop``; a child that keeps dying is started ever more rarely."""

    def __init__(self, env: dict[str, str], say: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self.env = env
        self.say = say

    def add(self, child: Child) -> Child:
        self.children.append(child)
        child.start(self.env)
        return child

    def mend(self) -> None:
        """Start again what has died, after 1, 2, 4 ... 30 seconds."""
        now = time.monotonic()
        for child in self.children:
            if child.alive:
                continue
            if not child.next_start:
                child.deaths = [t for t in child.deaths if t > now - 120] + [now]
                delay = min(30.0, 2.0 ** (len(child.deaths) - 1))
                child.next_start = now + delay
                code = child.process.returncode if child.process else None
                self.say(f"{child.name} ended (status {code}); starting it again in {delay:.0f} s. Log: {child.log}")
            elif now >= child.next_start:
                child.next_start = 0.0
                child.start(self.env)

    def trim_logs(self) -> None:
        for child in self.children:
            child.trim_log()

    def stop(self, patience_s: float = 8.0) -> None:
        """Everything at once but the broker, which the others still talk to while they end.

        Who has not ended after ``patience_s`` is killed: the ledger gives its job to the next start.
        """
        deadline = time.monotonic() + patience_s
        for child in self.children:
            if not child.stops_last:
                child.ask_to_stop()
        for child in sorted(self.children, key=lambda child: child.stops_last):
            child.stop(max(1.0, deadline - time.monotonic()))
