"""Curation and dataset pages in a real browser: accessible, within a phone, usable by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cases.models import Cohort, SortingTask
from cases.selectors.curation import contents_unmeasured, excluded_images
from cases.services.curation import contents_measure
from cases.services.datasets import dataset_freeze
from cases.services.images import image_add
from cases.services.uploads import slide_ensure
from leukoweb.core.models import Job
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone
from tests.cases.datasets.rows import choices_of, labelled
from tests.cases.datasets.test_curation import encoded, smear


@pytest.fixture(autouse=True)
def no_text_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cases.text_hint.available", lambda: False)


pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sorted_cohort(db: None) -> tuple[Cohort, SortingTask]:
    """Four patients with four images each; B-0 has a copy of A-0's first field."""
    cohort = Cohort.objects.create(name="Training", purpose="development")
    labels = {}
    for n, (code, label) in enumerate({"A-0": "AML", "B-0": "AML", "C-0": "CLL", "D-0": "NO_LEUKEMIA"}.items()):
        slide = slide_ensure(
            actor=None, cohort=cohort, patient_code=code, slide_code=f"{code}-1", camera=f"DP7{n % 2 + 3}"
        )
        for seed in range(4):
            data = encoded(smear(0 if code == "B-0" and seed == 3 else 10 * n + seed), 90 if code != "B-0" else 70)
            labels[image_add(actor=None, slide=slide, data=data, name="f.jpg").image.pk] = label
    contents_measure(contents_unmeasured())
    return cohort, labelled(cohort, labels)


def test_curation_by_keyboard_and_side_by_side(
    sorted_cohort: tuple[Cohort, SortingTask], browser_as: Callable[..., Page]
) -> None:
    page = browser_as("admin")
    page.set_default_timeout(90000)
    page.goto("/curation/?sort=sharpness")
    assert_accessible_in_every_theme(page)
    boxes = page.locator("input[name=images]")
    boxes.nth(0).focus()
    page.keyboard.press("Space")
    boxes.nth(2).focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-picked]")).to_have_text("2 ticked")
    page.get_by_role("button", name="Apply").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 images taken out.")).to_be_visible()

    # A job that ends loads the page anew only where nothing is lost by it.
    Job.objects.create(kind="cases.measure", title="Measure", total_units=9)
    page.goto("/curation/?sort=sharpness")
    page.evaluate("window.before = true")
    ended = "document.body.dispatchEvent(new CustomEvent('job-ended', { bubbles: true }))"
    boxes.nth(1).check()
    page.evaluate(ended)
    expect(page.get_by_role("link", name="Load again")).to_be_visible()
    expect(boxes.nth(1)).to_be_checked()
    assert page.evaluate("window.before") is True
    boxes.nth(1).uncheck()
    with page.expect_navigation():
        page.evaluate(ended)
    Job.objects.all().delete()
    assert len(excluded_images()) == 2
    assert_fits_a_phone(page)

    page.goto("/curation/duplicates/")
    assert_accessible_in_every_theme(page)
    page.get_by_role("link", name="Compare and settle").click()
    expect(page.locator(".pair-fields img")).to_have_count(2)
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
    page.get_by_label("The same: keep the first").check()
    page.get_by_label("Note").fill("Field of A-0, says the logbook")
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_text("The pair is settled.")).to_be_visible()


def test_a_version_is_previewed_frozen_and_looked_at(
    sorted_cohort: tuple[Cohort, SortingTask], browser_as: Callable[..., Page]
) -> None:
    page = browser_as("admin")
    page.set_default_timeout(90000)
    page.goto("/datasets/new/")
    page.get_by_label("Name").fill("Set")
    page.get_by_label("Training").first.check()
    page.get_by_label("Labels of Training").check()
    page.get_by_role("button", name="Show what would be frozen").click()
    expect(page.get_by_text("not settled")).to_be_visible()  # the planted copy stands against it
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
    from cases.models import HpfImage
    from cases.services.curation import images_exclude

    copy = HpfImage.objects.get(slide__code="B-0-1", position=4)
    images_exclude(actor=None, images=[copy], reason="duplicate")
    page.get_by_role("button", name="Show again").click()
    page.get_by_role("button", name="Freeze this version").click()
    expect(page.get_by_role("heading", name="Set 1")).to_be_visible()
    assert page.evaluate("document.querySelector('.figure-wide').scrollIntoView() ?? true")
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_the_pages_made_of_a_version(
    sorted_cohort: tuple[Cohort, SortingTask], browser_as: Callable[..., Page], admin_user: Any
) -> None:
    from cases.models import HpfImage
    from cases.services.curation import images_exclude

    images_exclude(actor=None, images=[HpfImage.objects.get(slide__code="B-0-1", position=4)], reason="duplicate")
    cohort, task = sorted_cohort
    first, second = (
        dataset_freeze(actor=admin_user, name="Set", choices=choices_of([cohort], [task], seed=s)) for s in (1, 4)
    )
    page = browser_as("coordinator")
    page.set_default_timeout(90000)
    for path in (
        "/datasets/", f"/datasets/{first.public_id}/table-1/", f"/datasets/{first.public_id}/drift/",
        f"/datasets/{first.public_id}/diff/{second.public_id}/",
    ):  # fmt: skip
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(path, wait_until="networkidle")
        broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        assert broken == []
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)
