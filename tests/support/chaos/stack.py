"""A whole leukoweb in a folder of its own, whose processes can be killed. For the fault suites."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.test_launcher import environment, free_port, launched, of_this_folder, wait_for

ROOT = Path(__file__).resolve().parents[3]


class Stack:
    """Started by ``running``; reads its database directly, changes it only through manage.py.

    ``database_url`` names a PostgreSQL, possibly through a proxy; the tests themselves read at ``direct_url``.
    """

    def __init__(self, data: Path, database_url: str = "", *, direct_url: str = "") -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.data, self.database_url, self.direct_url = data, database_url, direct_url or database_url
        self.port = free_port()
        self.migrated = False

    def take_tables_of(self, database: Path) -> None:
        """Begin with a copy of another SQLite database: quicker than migrating."""
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(self.data / "db.sqlite3")) as copy:
            source.backup(copy)
        self.migrated = True

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of this stack."""
        database = {"DATABASE_URL": self.database_url} if self.database_url else {}
        return environment(self.data) | {"DJANGO_SETTINGS_MODULE": "leukoweb.settings"} | database

    def manage(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run("manage.py", *words, check=check)

    def python(self, code: str) -> str:
        """Run code with Django set up; returns what it prints."""
        return self._run("-c", "import django; django.setup()\n" + code).stdout

    def _run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read past Django; ``?`` marks values on both databases."""
        if self.direct_url:
            import psycopg

            with psycopg.connect(self.direct_url) as line:
                return line.execute(sql.replace("?", "%s"), values).fetchall()  # type: ignore[call-overload,no-any-return]
        with sqlite3.connect(f"file:{self.data / 'db.sqlite3'}?mode=ro", uri=True, timeout=30) as connection:
            return connection.execute(sql, values).fetchall()

    @contextmanager
    def running(self, **extra: str) -> Iterator[subprocess.Popen[str]]:
        """Everything up; ``extra`` is added to the environment of its processes."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in extra.items():
                patch.setenv(name, value)
            with launched(self.data, self.port) as process:
                wait_for(process, "leukoweb is ready")
                yield process

    def processes(self, *words: str) -> list[int]:
        """Living processes of this stack whose command line holds all words."""
        found = []
        for pid in of_this_folder(self.data):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(pid)
        return sorted(found)

    def kill(self, *words: str, chooser: random.Random | None = None) -> int | None:
        """SIGKILL one matching process (any, by the chooser); None if there was none."""
        found = self.processes(*words)
        if not found:
            return None
        pid = chooser.choice(found) if chooser else found[0]
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return pid


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(every_s)


def draw_folder(folder: Path, *, patients: int, fields: int, width_px: int = 640, seed: int = 7) -> int:
    """Phantom slides as folders of JPEG files; returns the number of files."""
    from cases.phantoms import draw_patient, encode_jpeg

    count = 0
    for number in range(patients):
        diagnosis = ("AML", "NO_LEUKEMIA", "ALL", "CLL", "CML")[number % 5]
        slide = folder / f"FAULT-{number:03d}"
        slide.mkdir(parents=True)
        drawn = draw_patient(diagnosis, seed=seed * 1000 + number, style="dp73", n_fields=fields, width_px=width_px)
        for position, field in enumerate(drawn, start=1):
            (slide / f"{position:03d}.jpg").write_bytes(encode_jpeg(field))
            count += 1
    return count


def predictions(stack: Stack) -> dict[str, Any]:
    """Per slide what was decided and on which probabilities, in a form that two stacks can be compared by."""
    rows = stack.rows(
        "SELECT s.code, p.diagnosis, p.diagnosis_3, p.diagnosis_5, p.trace FROM inference_patientprediction p "
        "JOIN cases_slide s ON s.id = p.slide_id ORDER BY s.code"
    )
    images = stack.rows(
        "SELECT m.slot, i.content_sha256, i.profile, i.probabilities FROM inference_imageprediction i "
        "JOIN inference_modelversion m ON m.id = i.model_id ORDER BY m.slot, i.content_sha256"
    )
    return {
        "patients": [(code, d, d3, d5, json.loads(trace)) for code, d, d3, d5, trace in rows],
        "images": [(slot, sha, profile, json.loads(p)) for slot, sha, profile, p in images],
    }
