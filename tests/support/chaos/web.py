"""gunicorn as it is deployed, which can be killed whole, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.chaos.stack import ROOT, Stack, wait_until

OPTIONS = "--worker-class gthread --workers 2 --threads 4 --graceful-timeout 5 --no-control-socket --log-level error"


class Web:
    """``extra`` is added to the environment; ``command`` is put before the interpreter's (prlimit, faketime)."""

    def __init__(self, stack: Stack, *, command: tuple[str, ...] = (), **extra: str) -> None:
        self.stack, self.extra, self.command = stack, extra, command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [*self.command, sys.executable, "-m", "gunicorn", "leukoweb.wsgi", "--bind",
                 f"127.0.0.1:{self.stack.port}", *OPTIONS.split()]  # fmt: skip
        with (self.stack.data / "web.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=self.stack.environment | self.extra, stdout=log, stderr=log,
                process_group=0,
            )  # fmt: skip
        wait_until(self.answers, seconds=180, what="the web server answering")

    def answers(self) -> bool:
        """Whether it answers at all; the database behind it may be away (503)."""
        try:
            return ask(self.stack.port, "GET", "/healthz", timeout=10)[0] in (200, 503)
        except ConnectionError:
            return False

    def kill(self) -> None:
        """SIGKILL to the arbiter and its workers at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @contextmanager
    def running(self) -> Iterator[Web]:
        self.start()
        try:
            yield self
        finally:
            self.kill()


def ask(
    port: int, method: str, path: str, body: bytes | str | None = None, *, headers: dict[str, str] | None = None,
    timeout: float = 60,
) -> tuple[int, bytes]:  # fmt: skip
    """One request on a connection of its own.

    Raises
    ------
    ConnectionError
        No complete answer came back: nobody can say what the server did.
    """
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        line.request(method, path, body, {"Host": "localhost", **(headers or {})})
        answer = line.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(str(error)) from error
    finally:
        line.close()


def cookie_headers(cookies: dict[str, Any]) -> dict[str, str]:
    """The headers of a signed-in script."""
    return {
        "Accept": "application/json", "X-CSRFToken": cookies["csrftoken"],
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
    }  # fmt: skip
