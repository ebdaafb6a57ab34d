"""The whole loop by hand: sort, measure, freeze, train two epochs, compare, promote, run again, see the new result."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sorting_support import expect_all_saved, sorting_task
from tests.browser.test_training import picture as shot
from tests.inference.shell.conftest import pipeline, pipeline_folder  # noqa: F401 - fixtures
from tests.inference.training.conftest import picture

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
KEYS = {"AML": "1", "NO_LEUKEMIA": "7"}


def development_cohort() -> tuple[Any, dict[int, str]]:
    """Eight patients with three fields each, half of them with AML; image id -> what it shows."""
    from cases.models import Cohort, Patient, Slide
    from cases.services.images import image_add

    cohort = Cohort.objects.create(name="Journey", purpose="development", synthetic=True)
    shows = {}
    for i in range(8):
        label = "AML" if i % 2 else "NO_LEUKEMIA"
        patient = Patient.objects.create(code=f"J{i}", cohort=cohort)
        slide = Slide.objects.create(code=f"J{i}-S", patient=patient)
        for j in range(3):
            added = image_add(actor=None, slide=slide, data=picture(label, 100 * i + j), name=f"{j}.png")
            shows[added.image.pk] = label
    return cohort, shows


def test_from_sorting_to_a_new_result(browser_as: OpenPage, pipeline: Any, job_worker: None) -> None:  # noqa: F811
    wide = {"width": 1440, "height": 900}
    sorter, admin = browser_as("pathologist", viewport=wide), browser_as("admin", viewport=wide)
    for page in (sorter, admin):
        page.set_default_timeout(60_000)
        page.set_default_navigation_timeout(120_000)
    cohort, shows = development_cohort()
    task = sorting_task(cohort, [sorter.user])

    sorter.goto(f"/sorting/{task.public_id}/board/")  # sorted by keys, as somebody who knows the cells
    expect(sorter.locator("[data-board][data-ready]")).to_be_attached(timeout=90_000)
    for item in task.seats.get().items.order_by("position"):
        sorter.keyboard.press(KEYS[shows[item.image_id]])
    expect(sorter.locator("[data-progress-words]")).to_have_text("All 24 decided", timeout=30_000)
    expect_all_saved(sorter)
    shot(sorter, "journey-1-sorted")

    admin.goto("/curation/")
    admin.get_by_role("button", name=re.compile("Measure 24 images")).click()
    expect(admin.get_by_role("button", name=re.compile("Measure"))).to_have_count(0, timeout=120_000)
    admin.goto("/datasets/new/")
    admin.get_by_label("Name").fill("journey")
    admin.get_by_label("Journey").check()
    admin.get_by_label("First sorting").check()
    admin.locator("[name=percent]").fill("50")
    admin.get_by_role("button", name="Show what would be frozen").click()
    shot(admin, "journey-2-preview")
    admin.get_by_role("button", name="Freeze this version").click()
    expect(admin.get_by_role("heading", level=1)).to_contain_text("journey")

    # The live pipeline's result first, so that there is something to run again.
    admin.goto(f"/cohorts/{cohort.pk}/")
    admin.get_by_role("button", name="Run on 8 slides").click()
    expect(admin.get_by_text("8 of 8 slides have a current result")).to_be_visible(timeout=180_000)

    admin.goto("/training/new/?preset=starter")
    for part in ("model_2", "model_3"):
        admin.locator(f"input[value={part}]").uncheck()
    admin.get_by_label("Name").fill("by hand")
    admin.get_by_label("Image side (px)").fill("64")
    admin.get_by_label("Epochs", exact=True).fill("2")
    admin.get_by_label("Start from").select_option("")
    admin.get_by_role("button", name="Start training").click()
    expect(admin.locator("#state-title + .status")).to_have_text("Done", timeout=300_000)
    expect(admin.get_by_text("2 epochs; best: epoch")).to_be_visible()
    shot(admin, "journey-3-trained")

    admin.reload()
    admin.get_by_role("link", name="Compare and promote").click()
    expect(admin.get_by_text("4 patients compared, each by both pipelines")).to_be_visible()
    shot(admin, "journey-4-compare")
    admin.get_by_label("Reason").fill("Trained on our own smears")
    admin.get_by_role("button", name="Promote by hand 1").click()
    expect(admin.get_by_text("0 of 8 slides have a result of by hand 1")).to_be_visible()
    shot(admin, "journey-5-promoted")

    admin.get_by_role("button", name="Run Journey again").click()
    admin.goto(f"/cohorts/{cohort.pk}/")
    expect(admin.get_by_text("8 of 8 slides have a current result")).to_be_visible(timeout=180_000)
    admin.goto("/results/")
    expect(admin.get_by_role("listitem").filter(has_text="by hand 1").first).to_be_visible()
    admin.goto(f"/results/{newest_run(cohort)}/")
    expect(admin.get_by_text("by hand 1").first).to_be_visible()
    shot(admin, "journey-6-result")
    from inference.models import PatientPrediction

    assert PatientPrediction.objects.count() == 16, "the results of before are still there"


def newest_run(cohort: Any) -> Any:
    from inference.models import PipelineRun

    return PipelineRun.objects.filter(slide__patient__cohort=cohort).order_by("-id").first().public_id
