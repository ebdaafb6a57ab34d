"""kill -9 of ``manage.py import_slides``: run it again and everything is in, once, and nothing half (catalogue row 92).

``CHAOS_KILLS`` (20) says how often at most; the import moves on between kills, so it ends by itself at some point.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.chaos.inspector import Inspector
from tests.support.chaos.schedule import Schedule
from tests.support.chaos.stack import ROOT, Stack, wait_until

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("CHAOS_KILLS") or 20)
SEED, SLIDES, PER_SLIDE = 20_241_127, 20, 30


def folder_of_fields(root: Path) -> int:
    """Slides as folders; every third file is a BMP, which is converted while it is taken in. Returns the files."""
    for number in range(SLIDES * PER_SLIDE):
        pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        kind = "BMP" if number % 3 == 0 else "JPEG"
        buffer = io.BytesIO()
        Image.fromarray(pixels, "RGB").save(buffer, kind)
        path = root / f"S{number // PER_SLIDE:02d}" / f"{number:04d}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    return SLIDES * PER_SLIDE


def test_an_import_killed_again_and_again(migrated: Stack, tmp_path: Path) -> None:
    stack, fields = migrated, tmp_path / "fields"
    n_files = folder_of_fields(fields)
    words = ("import_slides", str(fields), "--cohort", "Cut off")
    chooser, inspector = Schedule(SEED), Inspector(stack)

    def stored() -> int:
        return int(stack.rows("SELECT count(*) FROM cases_hpfimage")[0][0])

    kills = temporary = 0
    while kills < KILLS and stored() < n_files:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=stack.environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        goal = stored() + chooser.between(1, 25)
        wait_until(
            lambda goal=goal, process=process: stored() >= goal or process.poll() is not None,
            seconds=120, what="an import under way", every_s=0.01,
        )  # fmt: skip
        time.sleep(chooser.pause(0.0, 0.05))
        kills += process.poll() is None
        process.kill()
        process.wait(30)
        inspector.look()
        temporary += inspector.left_over()[1]
    at_the_end = stored()
    done = stack.manage(*words)
    inspector.look()
    orphans = inspector.left_over()
    stack.manage("sweep_media", "--older-than", "0")
    print(
        f"{kills} kills (seed {SEED}), {at_the_end} of {n_files} files in before the last run; {inspector.dangling} "
        f"rows without file, {inspector.partial} partial files, {inspector.half_rows} rows without their name; "
        f"{temporary} temporary files seen, {orphans[0]} orphans before the sweep, {inspector.left_over()[0]} after it."
    )
    assert kills
    assert (inspector.dangling, inspector.partial, inspector.half_rows) == (0, 0, 0)
    assert inspector.left_over() == (0, 0)
    assert stored() == n_files
    names = [name for (name,) in stack.rows("SELECT name FROM cases_imageoriginalname")]
    assert len(set(names)) == len(names) == n_files
    assert stack.rows("SELECT count(*) FROM cases_slide")[0][0] == SLIDES
    assert f"{n_files - at_the_end} new images" in done.stdout
    assert "0 new images" in stack.manage(*words).stdout
    stack.manage("verify_media")
