"""The memory of a worker is flat: what 5,000 images need is what the first 500 needed (promise 18)."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from inference.models import ImagePrediction
from inference.services.runs import run_request

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
SLIDES, PER_SLIDE = 50, 100
MAY_GROW = 0.05


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_5000_images_need_no_more_memory_than_500(pipeline: Any, make_slide: Any, run_jobs: Any) -> None:
    found = []
    for _ in range(SLIDES):
        run_request(actor=None, slide=make_slide(PER_SLIDE))
        assert run_jobs() == 1
        found.append(resident_mb())
    start, last = max(found[:5]), max(found[-5:])
    print(
        f"{SLIDES * PER_SLIDE} images of {SLIDES} slides through {len(set(pipeline.slots.values()))} models: "
        f"{start:.0f} MB after 500, {last:.0f} MB after {SLIDES * PER_SLIDE} ({100 * (last / start - 1):+.1f} %)"
    )
    assert ImagePrediction.objects.values("content_sha256").distinct().count() == SLIDES * PER_SLIDE
    assert last < start * (1 + MAY_GROW)
