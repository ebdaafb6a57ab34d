"""Three thousand small files in one drop: all stored, the page stays alive, memory does not grow with the files."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cases import services
from cases.models import HpfImage, Slide, UploadBatch

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
FOLDERS, PER_FOLDER = 20, 150
HEAP = "() => performance.memory.usedJSHeapSize / 1e6"
PULSE = """() => { window.longest = 0; let last = performance.now();
  const beat = () => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; };
  setInterval(beat, 50); }"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    rng = np.random.default_rng(5)
    for slide in range(FOLDERS):
        (root / f"S{slide:02d}").mkdir(parents=True)
        for number in range(PER_FOLDER):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=60)
            (root / f"S{slide:02d}" / f"{number:03d}.jpg").write_bytes(buffer.getvalue())
    return root


def test_three_thousand_files_in_one_drop(browser_as: Callable[..., Any], folder: Path) -> None:
    total = FOLDERS * PER_FOLDER
    cohort = services.cohort_create(actor=None, name="Many", purpose="external")
    page = browser_as("technician")
    page.goto(f"/upload/?cohort={cohort.pk}")
    page.evaluate(PULSE)
    start, begun = page.evaluate(HEAP), time.monotonic()
    page.get_by_label("Folder of images").set_input_files(folder, timeout=300_000)
    page.get_by_text(f"{total} files").wait_for()
    page.get_by_role("button", name="Start the upload").click()
    # The page redraws four times a second and so skips numbers: a span of them is waited for, never one.
    page.get_by_text(re.compile(rf"^[3-9]\d\d of {total} files")).wait_for(timeout=600_000)
    early = page.evaluate(HEAP)
    page.get_by_text(f"{total} stored.").wait_for(timeout=1_800_000)
    late, longest = page.evaluate(HEAP), page.evaluate("longest")
    print(f"{total} files in {time.monotonic() - begun:.0f} s: heap {start:.0f} MB at the start, {early:.0f} MB early, "
          f"{late:.0f} MB at the end; the longest time without an answer of the page was {longest:.0f} ms")  # fmt: skip
    assert HpfImage.objects.count() == total
    assert Slide.objects.count() == FOLDERS
    assert {slide.images.count() for slide in Slide.objects.all()} == {PER_FOLDER}
    assert UploadBatch.objects.get().closed_at is not None
    assert late < start + 150
