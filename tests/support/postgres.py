"""Start a throw-away PostgreSQL on a free loopback port and run a command with DATABASE_URL pointing at it.

    python -m tests.support.postgres pytest -m both_databases

Exit status 77 if this machine has no PostgreSQL programs (a failure with REQUIRE_ALL=1).
"""

from __future__ import annotations

import os
import pwd
import shutil
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


@contextmanager
def server(bin_dir: Path) -> Iterator[str]:
    """A running server; yields its URL and removes it afterwards."""
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="leukoweb-pg-"))
    data = folder / "data"
    if user:
        shutil.chown(folder, user)
    as_user = {"user": user} if user else {}
    quiet = {"stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run(
        [bin_dir / "initdb", "-D", data, "-U", "leukoweb", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True, **quiet, **as_user,
    )  # fmt: skip
    port = _free_port()
    process = subprocess.Popen(
        [bin_dir / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1",
         "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=60"],
        stderr=subprocess.DEVNULL, **quiet, **as_user,
    )  # fmt: skip
    try:
        _wait(bin_dir, port, process)
        yield f"postgres://leukoweb:none@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(bin_dir: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
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
