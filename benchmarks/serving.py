"""A web server of its own for a benchmark, a small HTTP client (one connection, kept open) and a page in Chromium."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT

OPTIONS = (
    "--preload --worker-class gthread --workers 2 --threads 8 --timeout 120 --graceful-timeout 5 --no-control-socket"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "leukoweb.settings",
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(ROOT),
        **more,
    }


def production(**more: str) -> dict[str, str]:
    """Settings of production for a loopback server without TLS."""
    return {
        "LEUKOWEB_MODE": "production",
        "SECRET_KEY": "benchmark-only-0123456789-abcdefghijklmnopqrstuvwxyz-0123",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "0",
        **more,
    }


@contextmanager
def gunicorn(env: dict[str, str], options: str = OPTIONS) -> Iterator[int]:
    """As the launcher starts it. Yields the port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "leukoweb.wsgi", "--bind", f"127.0.0.1:{port}", *options.split()]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def wait_for(port: int, process: subprocess.Popen[Any], patience_s: float = 120) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if Client(port).get("/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the web server does not answer")


class Client:
    """One kept connection with its cookie."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"Cookie": cookie}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
        self.connection.request(method, path, body, self.headers | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        return self.ask("GET", path, **headers)


def sign_in(username: str) -> str:
    """A cookie of a fresh sign-in session, made in the database of the settings; readers have just been at the desk."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    from leukoweb.core.models import User
    from reader_study.middleware import STAMP

    user = User.objects.get(username=username)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session[STAMP] = timezone.now().timestamp()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def chromium() -> str | None:
    """Path of the machine's Chromium; ``CHROMIUM`` names another."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser_page(port: int, cookie: str) -> Iterator[Any]:
    """A page in Chromium without a GPU, signed in by a cookie of `sign_in`; it opens addresses by their path."""
    path = chromium()
    if path is None:
        raise SystemExit("No Chromium on this machine; set CHROMIUM to its path.")
    from playwright.sync_api import sync_playwright

    base = f"http://127.0.0.1:{port}"
    name, value = cookie.split("=")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(base_url=base, viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": name, "value": value, "url": base}])
        yield context.new_page()
        browser.close()


def setup(env: dict[str, str]) -> None:
    """Django in this process, with the settings that the server will have."""
    os.environ.update(env)
    import django

    django.setup()


def pss_kb(process: Path) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+)", (process / "smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def memory_mb(pid: int) -> float:
    """Memory of a process and its children; what several share is counted once (proportional set size)."""
    total, wanted = 0.0, {pid}
    for status in sorted(Path("/proc").glob("[0-9]*/status"), key=lambda p: int(p.parent.name)):
        try:
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(status.parent.name) in wanted or int(facts["PPid"]) in wanted:
            wanted.add(int(status.parent.name))
            total += pss_kb(status.parent) / 1000
    return total
