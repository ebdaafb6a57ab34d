"""Start a throw-away PostgreSQL on a free loopback port and run a command with DATABASE_URL pointing at it.

    python -m tests.support.postgres pytest -m both_databases

Exit status 77 if this machine has no PostgreSQL programs (a failure with REQUIRE_ALL=1).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder of initdb and postgres: the newest of the system's, or the PATH's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: then another user of the system runs it."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A throw-away server whose processes can be killed and started again on the same data and port."""

    def __init__(self, bin_dir: Path) -> None:
        self.bin_dir = bin_dir
        self.folder = Path(tempfile.mkdtemp(prefix="leukoweb-pg-"))
        self.data, self.port = self.folder / "data", _free_port()
        self.url = f"postgres://leukoweb:none@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        if user := _unprivileged():
            shutil.chown(self.folder, user)
        self._as_user = {"user": user} if user else {}
        subprocess.run(
            [bin_dir / "initdb", "-D", self.data, "-U", "leukoweb", "-A", "trust", "--no-sync", "-E", "UTF8",
             "--locale=C"], check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as_user,
        )  # fmt: skip

    def start(self, *options: str) -> None:
        """``options`` such as "-c", "fsync=on". Without, nothing is forced to the disk: enough for killed processes."""
        self._process = subprocess.Popen(
            [self.bin_dir / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off",
             "-c", "max_connections=60", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", process_group=0, **self._as_user,
        )  # fmt: skip
        _wait(self.bin_dir, self.port, self._process)

    def kill(self) -> None:
        """SIGKILL to the postmaster and every backend: the next start recovers from the log."""
        if self._process is None:
            return
        pids = [self._process.pid, *_children(self._process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        deadline = time.monotonic() + 30
        while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._process = None

    def restart(self) -> None:
        """As an administrator does it (fast shutdown: open transactions are rolled back, connections cut)."""
        self.stop(signal.SIGINT)
        self.start()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:  # a client holds on to it
            self.kill()
        self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running(bin_dir: Path) -> Iterator[Server]:
    made = Server(bin_dir)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@contextmanager
def server(bin_dir: Path) -> Iterator[str]:
    """A running server; yields its URL and removes it afterwards."""
    with running(bin_dir) as made:
        yield made.url


def _wait(bin_dir: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        ready = subprocess.run([bin_dir / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start")


def main() -> int:
    bin_dir = programs()
    if bin_dir is None:
        print("skipped: this machine has no PostgreSQL programs", file=sys.stderr)
        return 1 if os.environ.get("REQUIRE_ALL") == "1" else 77
    with server(bin_dir) as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
