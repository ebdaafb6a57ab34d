"""Readers at work at once on one machine, more and more, until 95 % of what they ask takes longer than 300 ms.

    python -m benchmarks.load [--steps 5 10 20 40 80 120 160] [--seconds 12] [--databases sqlite postgresql]

A reader opens one field a second (472 kB, sent by the application), reports what was seen every ten fields, and every
twenty answers the case and goes to the next: a fast reader. The server is gunicorn as the launcher starts it, the
database that of `benchmarks.filler` with 64 patients and a locked study; the readers are one asyncio process on the
same cores. A step counts from its second third on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, Result, Table, add_options, report
from benchmarks.serving import environment, gunicorn
from benchmarks.web import percentile

LIMIT_MS = 300
PACE_S = 1.0
SEEN_EVERY, ANSWER_EVERY = 10, 20


def prepare(patients: int) -> None:
    """In a process of its own: fill, open a session for each reader, one shared file for all fields, cookies."""
    import django

    django.setup()
    from django.conf import settings
    from django.utils import timezone

    from benchmarks.filler import READERS, Size, fill
    from benchmarks.serving import sign_in
    from cases.phantoms import draw_patient, encode_jpeg
    from leukoweb.core.storage import blobs
    from reader_study.models import ReadingSession, SessionCase

    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    fill(Size(patients))
    ReadingSession.objects.filter(number=1).update(state="open", opened_at=timezone.now())
    data = encode_jpeg(next(iter(draw_patient("AML", seed=3, style="dp73", n_fields=1, width_px=1600))))
    shared = blobs().path(blobs().put(data))
    made = set()
    places: list[dict[str, Any]] = []
    cookies = {f"reader{i}": sign_in(f"reader{i}") for i in range(1, READERS + 1)}
    for case in (
        SessionCase.objects.filter(session__number=1).select_related("session__reader__user").prefetch_related("images")
    ):
        images = list(case.images.all())
        for image in images:
            target = blobs().path(image.content_sha256)
            if image.content_sha256 not in made:
                made.add(image.content_sha256)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(shared, target)
        places.append(
            {
                "session": case.session.token,
                "case": case.token,
                "images": [i.token for i in images],
                "cookie": cookies[case.session.reader.user.username],
                "classes": case.session.rules["classes"],
            }
        )
    random.Random(4).shuffle(places)
    print(json.dumps({"bytes": len(data), "places": places}))


@dataclass
class Reader:
    """One person at one case after the other. ``times`` are (moment, kind, ms)."""

    port: int
    place: dict[str, Any]
    times: list[tuple[float, str, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    version: int = 0
    stream: Any = None

    async def ask(self, kind: str, method: str, path: str, body: Any = None) -> bytes:
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {self.place['cookie']}; csrftoken={'a' * 32}\r\n"
            f"X-CSRFToken: {'a' * 32}\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n"
        ).encode()
        start = time.monotonic()
        for attempt in (1, 2):
            if self.stream is None:
                self.stream = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            try:
                status, content = await self._exchange(head + payload)
                break
            except (OSError, asyncio.IncompleteReadError):
                self.stream = None  # the server closes connections that were idle, as browsers know
                if attempt == 2:
                    self.errors.append(f"{kind}: connection lost")
                    return b""
        if status >= 300:
            self.errors.append(f"{kind}: {status}")
        self.times.append((start, kind, 1000 * (time.monotonic() - start)))
        return content

    async def _exchange(self, message: bytes) -> tuple[int, bytes]:
        reader, writer = self.stream
        writer.write(message)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if ": " in line)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            writer.close()
            self.stream = None
        return int(lines[0].split()[1]), content

    async def read(self, until: float) -> None:
        base, images = f"/read/{self.place['session']}", self.place["images"]
        case = f"{base}/case/{self.place['case']}"
        await asyncio.sleep(random.random() * PACE_S)
        state = json.loads(await self.ask("next case", "POST", f"{case}/show/", {}) or b"{}")
        self.version, number = state.get("version", 0), random.randrange(ANSWER_EVERY)
        while time.monotonic() < until:
            begun = time.monotonic()
            await self.ask("field", "GET", f"{base}/image/{images[number % len(images)]}/")
            number += 1
            if number % SEEN_EVERY == 0:
                seen = {
                    images[(number - k) % len(images)]: {"ms": 900, "coverage": "f" * 16}
                    for k in range(1, SEEN_EVERY + 1)
                }
                await self.ask("report", "POST", f"{case}/seen/", {"active_ms": 1000 * number, "fields": seen})
            if number % ANSWER_EVERY == 0:
                answer = {"diagnosis": random.choice(self.place["classes"]), "confidence": 4}
                body = {"key": str(uuid.uuid4()), "version": self.version, "answer": answer}
                saved = json.loads(await self.ask("answer", "POST", f"{case}/answer/", body) or b"{}")
                self.version = saved.get("version", self.version)
                await self.ask("next case", "POST", f"{case}/show/", {})
            await asyncio.sleep(max(0.0, PACE_S - (time.monotonic() - begun)))
        if self.stream:
            self.stream[1].close()


async def step(
    port: int, places: list[dict[str, Any]], readers: int, seconds: float
) -> tuple[dict[str, list[float]], list[str]]:
    """Kind -> milliseconds, of all readers, without the first third; and what went wrong."""
    start = time.monotonic()
    people = [Reader(port, places[i]) for i in range(readers)]
    await asyncio.gather(*(person.read(start + seconds) for person in people))
    found: dict[str, list[float]] = {}
    for person in people:
        for moment, kind, ms in person.times:
            if moment > start + seconds / 3:
                found.setdefault(kind, []).append(ms)
    return found, [error for person in people for error in person.errors]


def climb(kind: str, port: int, prepared: dict[str, Any], options: argparse.Namespace) -> Table:
    rows: list[list[Any]] = []
    for readers in options.steps:
        before = os.times()
        found, errors = asyncio.run(step(port, prepared["places"], readers, options.seconds))
        used = sum(os.times()[:2]) - sum(before[:2])
        every = [ms for times in found.values() for ms in times]
        cells = [
            f"{percentile(found[k], 0.5):.0f} ({percentile(found[k], 0.95):.0f})" if found.get(k) else ""
            for k in ("field", "report", "answer", "next case")
        ]
        p95 = percentile(every, 0.95)
        rows.append(
            [
                readers,
                len(every) / (options.seconds * 2 / 3),
                *cells,
                round(p95),
                len(errors),
                f"{100 * used / options.seconds / (os.cpu_count() or 1):.0f} %",
            ]
        )
        print(
            f"  {kind}: {readers} readers, p95 {p95:.0f} ms, {len(errors)} errors {errors[:2]}",
            file=sys.stderr,
            flush=True,
        )
        if p95 > LIMIT_MS:
            break
    columns = [
        "readers",
        "answers a second",
        "field, ms (p95)",
        "report",
        "answer",
        "next case",
        "p95 of all",
        "errors",
        "of the cores for the readers themselves",
    ]
    return Table({"sqlite": "SQLite", "postgresql": "PostgreSQL"}[kind], columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40, 60, 80, 120, 160, 220])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--options", default="", help="of gunicorn, in place of the launcher's")
    add_options(parser)
    options = parser.parse_args()
    tables = []
    for kind in options.databases:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leukoweb-bench-")))
            env = environment(folder / "data", DATABASE_URL="")
            if kind == "postgresql":
                from tests.support.postgres import programs, server

                if (found := programs()) is None:
                    print("This machine has no PostgreSQL programs; measuring SQLite only.", flush=True)
                    continue
                env["DATABASE_URL"] = stack.enter_context(server(found))
            said = subprocess.run(
                [sys.executable, "-m", "benchmarks.load", "prepare", str(options.patients)],
                env=env,
                cwd=ROOT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
            prepared = json.loads(said.splitlines()[-1])
            port = stack.enter_context(gunicorn(env, options.options) if options.options else gunicorn(env))
            tables.append(climb(kind, port, prepared, options))
    report(Result("load", "python -m benchmarks.load", tables), options.results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        prepare(int(sys.argv[2]))
    else:
        main()
