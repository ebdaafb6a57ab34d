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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.test_launcher import environment, free_port, launched, of_this_folder, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


class Stack:
    """Started by ``running``; reads its database directly, changes it only through manage.py."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()

    def manage(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment(self.data), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def python(self, code: str) -> str:
        """Run code with Django set up; returns what it prints."""
        start = "import django; django.setup()\n"
        done = subprocess.run(
            [sys.executable, "-c", start + code], cwd=ROOT, capture_output=True, text=True, check=False,
            env={**environment(self.data), "DJANGO_SETTINGS_MODULE": "leukoweb.settings"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
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


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.3)


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
