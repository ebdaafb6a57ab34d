"""The pages of training in a real browser: every theme, phone width, accessibility, and a run that is followed live."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.browser.test_pages import (
    assert_accessible_in_every_theme,
    assert_fits_a_phone,
    axe_problems,
    choose_theme,
)
from tests.inference.shell.conftest import pipeline, pipeline_folder  # noqa: F401 - fixtures
from tests.inference.training.conftest import admin_run, config, freeze

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]


def picture(page: Page, name: str) -> None:
    """A screenshot for people, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        for theme in ("light", "dark"):
            choose_theme(page, theme)
            page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=str(Path(folder) / f"{name}-{theme}.png"), full_page=True)


def test_the_pages_of_a_finished_run(browser_as: OpenPage, pipeline: Any, run_jobs: Callable[[], int]) -> None:  # noqa: F811
    page = browser_as("admin", viewport={"width": 1440, "height": 900})
    page.set_default_navigation_timeout(120_000)
    run = admin_run(page.user, freeze(n_images=2), run_jobs, config(settings={"epochs": 2}))
    addresses = {
        "list": reverse("training_list"),
        "new": reverse("training_create"),
        "when": reverse("training_when"),
        "run": reverse("training_detail", args=[run.public_id]),
        "report": reverse("training_report", args=[run.public_id, "model_1"]),
        "compare": reverse("training_compare", args=[run.public_id]),
        "promotions": reverse("promotion_list"),
    }
    for name, address in addresses.items():
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(address)
        page.wait_for_load_state("networkidle")
        picture(page, name)
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)
        if name in ("run", "compare"):
            picture(page, f"{name}-phone")


def test_a_run_is_followed_without_reloading(browser_as: OpenPage, job_worker: None) -> None:
    page = browser_as("admin")
    dataset = freeze(n_images=2)
    page.goto(reverse("training_create") + f"?preset=starter&dataset={dataset.pk}")
    for part in ("model_2", "model_3"):
        page.locator(f"input[value={part}]").uncheck()
    page.get_by_label("Image side (px)").fill("64")
    page.get_by_label("Epochs", exact=True).fill("2")
    page.get_by_label("Start from").select_option("")
    page.get_by_role("button", name="Start training").click()
    page.evaluate("window.stillHere = true")
    expect(page.get_by_text("2 epochs; best: epoch")).to_be_visible(timeout=180_000)
    expect(page.locator("#state-title + .status")).to_have_text("Done", timeout=120_000)
    assert page.evaluate("window.stillHere"), "the page was not loaded anew"
    assert axe_problems(page) == []
    figure = page.locator("a.only-light img").first
    assert figure.evaluate("image => image.complete && image.naturalWidth > 0")
