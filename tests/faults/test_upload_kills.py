"""kill -9 of the web server during uploads: no row without its file, nothing partial at a final name, no orphan kept.

``CHAOS_KILLS`` (300) says how often. A file whose upload was cut is sent again, as the browser does, until it is in.
"""

from __future__ import annotations

import io
import os
import queue
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.chaos.inspector import Inspector
from tests.support.chaos.schedule import Schedule
from tests.support.chaos.stack import Stack, wait_until
from tests.support.chaos.uploads import Uploader
from tests.support.chaos.web import Web

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("CHAOS_KILLS") or 300)
SEED, SENDERS, PER_BATCH = 20_241_126, 6, 60


def picture(number: int) -> tuple[str, bytes]:
    """A file that no other number gives; every third one is a BMP, which is converted while it is taken in."""
    pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    kind = "BMP" if number % 3 == 0 else "JPEG"
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, kind)
    return f"{number:05d}.{kind.lower()}", buffer.getvalue()


class Senders:
    """Threads that announce and send files until they are told to come to an end."""

    def __init__(self, uploader: Uploader) -> None:
        self.uploader = uploader
        self.waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.numbers = iter(range(1_000_000))
        self.lock = threading.Lock()
        self.in_flight = self.cut = self.sent = 0
        self.names: set[str] = set()
        self.ending = False
        self.troubles: list[str] = []
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.ending = True
        for thread in self.threads:
            thread.join(timeout=300)
            assert not thread.is_alive(), "a sender did not come to an end"
        assert not self.troubles, self.troubles[:5]

    def _work(self) -> None:
        while not (self.ending and self.waiting.empty()):
            try:
                address, data = self.waiting.get_nowait()
            except queue.Empty:
                if not self.ending:
                    self._announce()
                continue
            self._send(address, data)

    def _announce(self) -> None:
        with self.lock:
            files = dict(picture(next(self.numbers)) for _ in range(PER_BATCH)) if self.waiting.empty() else {}
        if not files:
            return
        while True:
            try:
                status, batch = self.uploader.announce(files)
            except OSError:
                self.cut += 1
                time.sleep(0.2)
                continue
            if status != 201:
                self.troubles.append(f"announce: {status} {batch}")
                return
            break
        self.names.update(files)
        for item in batch["items"]:
            if item["needed"]:
                self.waiting.put((self.uploader.address(batch, item), files[item["path"]]))

    def _send(self, address: str, data: bytes) -> None:
        self.in_flight += 1
        try:
            status, answer = self.uploader.put(address, data)
        except OSError:
            self.cut += 1
            self.waiting.put((address, data))
            time.sleep(0.2)
            return
        finally:
            self.in_flight -= 1
        # A batch whose last file was stored by a request that was cut is closed: the file is in.
        if status == 200 or (status == 409 and b"closed" in answer):
            self.sent += 1
        else:
            self.troubles.append(f"{address}: {status} {answer[:200]!r}")


def test_the_web_server_killed_during_uploads(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state")
    senders = Senders(Uploader(stack))
    chooser, web, inspector = Schedule(SEED), Web(stack), Inspector(stack)
    web.start()
    senders.start()
    orphans = temporary = kills = 0
    try:
        while kills < KILLS:
            goal = senders.sent + chooser.between(1, 4)  # the server is warm when it dies
            wait_until(
                lambda goal=goal: bool(senders.troubles or (senders.sent >= goal and senders.in_flight)),
                seconds=120, what="uploads under way",
            )  # fmt: skip
            assert not senders.troubles, senders.troubles[:5]
            time.sleep(chooser.pause(0.0, 0.3))
            web.kill()
            kills += 1
            inspector.look()
            orphans, temporary = inspector.left_over()
            web.start()
        senders.end()
    finally:
        web.kill()
    inspector.look()
    orphans, temporary = inspector.left_over()
    stack.manage("sweep_media", "--older-than", "0")
    after = inspector.left_over()
    stored = stack.rows("SELECT original.name FROM cases_imageoriginalname original")
    print(
        f"{kills} kills (seed {SEED}): {len(stored)} files stored, {senders.cut} requests cut and sent again; "
        f"{inspector.dangling} rows without file, {inspector.partial} partial files at final names, "
        f"{inspector.half_rows} rows without their name; before the sweep {orphans} orphans and {temporary} temporary "
        f"files, after it {after[0]} and {after[1]}."
    )
    assert (inspector.dangling, inspector.partial, inspector.half_rows) == (0, 0, 0)
    assert after == (0, 0)
    assert sorted(name for (name,) in stored) == sorted(senders.names), "each announced file is in, and once"
    assert inspector.named() == {path.name for path in inspector.blobs.glob("??/??/*")}
    stack.manage("verify_media")
    assert stack.rows("SELECT count(*) FROM cases_uploadbatch WHERE closed_at IS NULL")[0][0] <= kills
