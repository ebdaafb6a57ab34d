"""kill -9 of the web server during answers: what was acknowledged is there, whatever came after."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stack import ROOT, Stack
from tests.test_launcher import environment

pytestmark = pytest.mark.faults
KILLS, SEED = 50, 20_270_104

PREPARE = """
import json, sys
from django.test import Client
from leukoweb.core.models import User
from reader_study.models import ReadingSession
from tests.reader_study.factories import make_study
user = User.objects.create_user("reader", password="correct horse", role="pathologist")
made = make_study(users=[user], n_cases=8, n_fields=1)
ReadingSession.objects.update(state="open")
client = Client()
client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
client.get("/read/" + made.session().token + "/board/", headers={"Host": "localhost"})
print(json.dumps({
    "session": made.session().token, "cases": list(made.session().cases.values_list("token", flat=True)),
    "cookies": {name: morsel.value for name, morsel in client.cookies.items()},
}))
"""


class Web:
    """The web server as it runs in production, in a process group that can be killed as a whole."""

    def __init__(self, data: Path, port: int) -> None:
        self.data, self.port = data, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = "--worker-class gthread --workers 2 --threads 4 --no-control-socket --log-level error"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "leukoweb.wsgi", "--bind", f"127.0.0.1:{self.port}", *words.split()],
            cwd=ROOT, env={**environment(self.data), "DJANGO_SETTINGS_MODULE": "leukoweb.settings"},
            start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Reader(threading.Thread):
    """Sends answer after answer to one case, again under the same key until it is acknowledged; keeps a history."""

    def __init__(self, web: Web, desk: dict[str, Any], case: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.web, self.desk, self.case, self.stop = web, desk, case, stop
        self.acknowledged: list[tuple[str, int]] = []
        self.unexpected: list[Any] = []
        self.unknown = 0

    def run(self) -> None:
        version = n = 0
        while not self.stop.is_set():
            n += 1
            key, comment = str(uuid.uuid4()), f"{self.case} answer {n}"
            body = {"diagnosis": ("ALL", "AML", "CLL")[n % 3], "confidence": 1 + n % 5, "comment": comment}
            while not self.stop.is_set():
                reply = self._post({"key": key, "version": version, "answer": body})
                if reply is None:
                    self.unknown += 1
                    time.sleep(0.05)
                    continue
                status, found = reply
                if status != 200:
                    self.unexpected.append((status, found))
                    return
                version = found["version"]
                self.acknowledged.append((comment, version))
                break

    def _post(self, body: dict[str, Any]) -> tuple[int, Any] | None:
        cookies = self.desk["cookies"]
        headers = {
            "Content-Type": "application/json", "Accept": "application/json", "X-CSRFToken": cookies["csrftoken"],
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        }  # fmt: skip
        path = f"/read/{self.desk['session']}/case/{self.case}/answer/"
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None  # nobody can say whether it was stored
        finally:
            connection.close()


def test_no_acknowledged_answer_is_lost(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state")
    stack.manage("migrate", "--verbosity", "0")
    desk = json.loads(stack.python(PREPARE).strip().splitlines()[-1])
    web, stop, chooser = Web(stack.data, stack.port), threading.Event(), random.Random(SEED)
    readers = [Reader(web, desk, case, stop) for case in desk["cases"]]
    web.start()
    _wait_for_answer(stack.port)
    for reader in readers:
        reader.start()
    kills = in_flight = 0
    while kills < KILLS:
        before = sum(len(reader.acknowledged) for reader in readers)
        _wait_for_more(readers, before + chooser.randint(3, 12))
        unknown = sum(reader.unknown for reader in readers)
        web.kill()
        kills += 1
        time.sleep(0.1)
        in_flight += sum(reader.unknown for reader in readers) > unknown
        web.start()
        _wait_for_answer(stack.port)
    stop.set()
    for reader in readers:
        reader.join(30)
    web.kill()
    events = stack.rows(
        "SELECT c.token, e.version, json_extract(e.new, '$.comment') FROM reader_study_draftevent e "
        "JOIN reader_study_sessioncase c ON c.id = e.case_id ORDER BY e.id"
    )
    stored = {(token, version): comment for token, version, comment in events}
    total = sum(len(reader.acknowledged) for reader in readers)
    lost = [
        (reader.case, version)
        for reader in readers
        for comment, version in reader.acknowledged
        if stored.get((reader.case, version)) != comment
    ]
    doubled = len(events) - len({comment for _, _, comment in events})
    print(f"{kills} kills ({in_flight} with answers in flight), seed {SEED}: {total} acknowledged answers, "
          f"{len(events)} stored, {len(lost)} lost, {doubled} doubled")  # fmt: skip
    assert [reader.unexpected for reader in readers if reader.unexpected] == []
    assert lost == []
    assert doubled == 0
    assert total >= 3 * KILLS
    assert len(events) <= total + len(readers)  # at most one answer each was stored without its acknowledgement
    assert stack.rows("PRAGMA integrity_check") == [("ok",)]


def _wait_for_answer(port: int) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("the web server did not come back")


def _wait_for_more(readers: list[Reader], wanted: int) -> None:
    deadline = time.monotonic() + 300
    while sum(len(reader.acknowledged) for reader in readers) < wanted:
        assert time.monotonic() < deadline, [reader.unexpected for reader in readers]
        time.sleep(0.01)
