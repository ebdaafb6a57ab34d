"""A pipeline that is small enough for tests, and slides of small images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.management.commands.diagnose import STARTER_FOLDER


@pytest.fixture(scope="session")
def pipeline_folder() -> Path:
    return STARTER_FOLDER


@pytest.fixture
def pipeline(db: None, pipeline_folder: Path) -> Any:
    """Registered and active."""
    from inference.services.registry import pipeline_activate, pipeline_import

    return pipeline_activate(actor=None, pipeline=pipeline_import(actor=None, folder=pipeline_folder))


def _field_png(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    """A smooth coloured picture, different for each seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def field_png() -> Callable[[int], bytes]:
    return _field_png


@pytest.fixture
def make_slide(db: None) -> Callable[..., Any]:
    """``make_slide(5)`` -> a slide of a new patient with five different images."""
    from cases.models import Cohort, Patient, Slide
    from cases.services.images import image_add

    def make(n_images: int = 5, code: str = "", cohort: Any = None, seed: int | None = None) -> Any:
        cohort = cohort or Cohort.objects.get_or_create(name="Tests", defaults={"purpose": "external"})[0]
        number = Slide.objects.count() + 1
        patient = Patient.objects.create(code=f"P{number:03}", cohort=cohort)
        slide = Slide.objects.create(code=code or f"S{number:03}", patient=patient)
        for i in range(n_images):
            image_add(actor=None, slide=slide, data=_field_png(1000 * (seed or number) + i), name=f"{i}.png")
        return slide

    return make


@pytest.fixture
def run(pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any) -> Any:
    """A finished run over five fields."""
    from inference.models import PipelineRun
    from inference.services.runs import run_request

    run = run_request(actor=technician, slide=make_slide(5))
    assert run_jobs() == 1
    return PipelineRun.objects.select_related("job", "prediction", "slide__patient").get(pk=run.pk)


@pytest.fixture
def other_pipeline(pipeline: Any) -> Any:
    """The same models under the 3-class rules; registered, not active."""
    from inference.pipeline.rules import RULE_SETS
    from inference.services.registry import pipeline_create

    return pipeline_create(
        actor=None, name="other", version="1", rule_set=RULE_SETS["paper-fig1"], models=pipeline.slots
    )
