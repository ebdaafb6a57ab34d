"""A slide of phantoms is run in the browser; the result is opened, explained and looked into."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cases.phantoms import draw_patient
from inference.management.commands.diagnose import STARTER_FOLDER
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone, axe_problems

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def slide(transactional_db: None) -> Any:
    """Six small fields of a synthetic patient with AML."""
    from cases.models import Cohort, Patient, Slide
    from cases.services.images import image_add

    cohort = Cohort.objects.create(name="Phantoms", purpose="external", synthetic=True)
    slide = Slide.objects.create(code="PH-1", patient=Patient.objects.create(code="PH-1", cohort=cohort))
    for i, field in enumerate(draw_patient("AML", seed=11, n_fields=6, width_px=480), 1):
        stream = io.BytesIO()
        field.image.save(stream, "JPEG", quality=90)
        image_add(actor=None, slide=slide, data=stream.getvalue(), name=f"{i}.jpg")
    return slide


@pytest.fixture
def pipeline(transactional_db: None) -> Any:
    from inference.services.registry import pipeline_activate, pipeline_import

    return pipeline_activate(actor=None, pipeline=pipeline_import(actor=None, folder=STARTER_FOLDER))


def shot(page: Any, name: str) -> None:
    """Keep a picture for people to look at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_run_result_saliency_map_and_reasons(
    pipeline: Any, slide: Any, job_worker: None, browser_as: Callable[..., Any]
) -> None:
    page = browser_as("pathologist", viewport={"width": 1440, "height": 900})
    page.goto(f"/slides/{slide.pk}/")
    page.get_by_role("button", name="Run the pipeline").click()
    page.locator("#slide-runs .status-done").wait_for(timeout=60_000)
    shot(page, "slide-runs")
    page.get_by_role("link", name="Result of").click()

    # The reasons, in words and as counts
    run = slide.runs.get()
    assert page.locator("h1").inner_text() != ""
    trace = page.locator(".trace-sentence").all_inner_texts()
    assert len(trace) == len(run.prediction.trace)
    assert "of 6 fields" in trace[0]
    assert page.get_by_text("Synthetic demonstration model").first.is_visible()
    assert page.locator("[data-field]").count() == 6
    assert axe_problems(page) == []
    shot(page, "result")

    # A field, its saliency map, its opacity
    page.locator("[data-open]").first.click()
    panel = page.locator("[data-viewer-panel]")
    panel.locator("canvas").first.wait_for()
    page.keyboard.press("g")
    overlay = panel.locator("img.viewer-overlay")
    overlay.wait_for()
    assert overlay.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480
    before = float(overlay.evaluate("image => image.style.opacity"))
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert float(overlay.evaluate("image => image.style.opacity")) == pytest.approx(before + 0.1)
    page.keyboard.press(",")
    assert float(overlay.evaluate("image => image.style.opacity")) == pytest.approx(before + 0.05)
    assert axe_problems(page) == []
    shot(page, "result-saliency-map")

    # Two models side by side, another class, the next field
    panel.get_by_label("Side by side").check()
    panel.locator("[data-pane]:nth-child(2) img.viewer-overlay").wait_for()
    panel.locator("[data-pane]:nth-child(2) [data-pane-class]").select_option("CML")
    panel.get_by_text("Where it looked for CML").wait_for()
    title = panel.locator("[data-viewer-title]").inner_text()
    page.locator("h1").click()  # leave the chooser, so that keys belong to the page
    page.keyboard.press("ArrowRight")
    page.wait_for_function("t => document.querySelector('[data-viewer-title]').textContent !== t", arg=title)
    panel.locator("[data-pane]:nth-child(2) img.viewer-overlay").wait_for()
    shot(page, "result-side-by-side")
    page.keyboard.press("g")
    page.wait_for_function("() => !document.querySelector('img.viewer-overlay')")
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")

    # Again, and the two runs beside each other
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".verdict-title").wait_for(timeout=60_000)  # the waiting page goes to the result by itself
    assert str(slide.runs.first().public_id) in page.url
    page.get_by_role("heading", name="Compare with").locator("xpath=following::a[1]").click()
    page.get_by_text("0 of 6 fields have a changed label").wait_for()
    assert axe_problems(page) == []
    shot(page, "compare")


def test_the_result_fits_one_printed_page(
    pipeline: Any,
    slide: Any,
    run_jobs: Callable[[], int],
    browser_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from inference.services.runs import run_request
    from inference.worker import prediction

    # Whatever the models say: the longest page is that of a leukemia, whose trace has all steps.
    says = {2: [0.9, 0.1], 4: [0.7, 0.1, 0.1, 0.1], 5: [0.2, 0.5, 0.1, 0.1, 0.1]}
    monkeypatch.setattr(prediction, "softmax", lambda logits: np.tile(says[logits.shape[1]], (len(logits), 1)))
    run = run_request(actor=None, slide=slide)
    run_jobs()
    page = browser_as("pathologist")
    page.goto(f"/results/{run.public_id}/")
    page.wait_for_load_state("networkidle")
    pdf = page.pdf(format="A4")
    page.set_viewport_size({"width": 688, "height": 1016})  # A4 within its margins, in CSS pixels
    page.emulate_media(media="print")
    shot(page, "result-print")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1


def test_the_pages_are_accessible_and_fit_a_phone(
    pipeline: Any, slide: Any, run_jobs: Callable[[], int], browser_as: Callable[..., Any]
) -> None:
    from inference.services.runs import run_request

    run = run_request(actor=None, slide=slide)
    run_jobs()
    page = browser_as("coordinator")
    for address in (f"/results/{run.public_id}/", "/models/", f"/models/{pipeline.model_1_id}/", "/results/"):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)
        shot(page, f"phone{address[:-1].replace('/', '-')}")
