"""Pages of staff about sorting, and the adjudicator's board, in a real browser."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cases.models import AdjudicationDecision
from cases.services.sorting import Decision, decisions_save
from tests.browser.sorting_support import cohort_with_fields, expect_all_saved, expect_shown, sorting_task
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]


def sort_all(task: Any, n_different: int) -> None:
    """Two sorters decide everything; they differ on the first images."""
    for number, seat in enumerate(task.seats.filter(part="sorter").order_by("pk")):
        images = sorted(item.image.public_id for item in seat.items.select_related("image"))
        made = [
            Decision(image, uuid.uuid4(), "label", "AML" if number or place >= n_different else "APML")
            for place, image in enumerate(images)
        ]
        decisions_save(actor=seat.user, seat=seat, decisions=made)


@pytest.mark.parametrize("mode", ["blind", "open"])
def test_an_adjudicator_settles_disagreements(browser_as: OpenPage, make_user: Any, data_dir: Any, mode: str) -> None:
    page = browser_as("pathologist")
    sorters = [make_user("pathologist", "anna"), make_user("pathologist", "ben")]
    task = sorting_task(cohort_with_fields(8), sorters, [page.user], adjudication=mode)
    sort_all(task, 3)
    page.goto("/")
    page.get_by_role("link", name="Settle disagreements").click()
    expect(page.locator("[data-board][data-ready]")).to_be_attached()
    expect(page.locator("[data-shown]")).to_have_text("3 images")
    page.keyboard.press("g")
    said = page.locator("[data-single-said]")
    if mode == "open":
        expect(said).to_have_text("A: Acute myeloid leukemia · B: Acute promyelocytic leukemia")
    else:
        expect(said).to_be_hidden()
    for key in "130":
        expect_shown(page)
        page.keyboard.press(key)
    expect_all_saved(page)
    settled = AdjudicationDecision.objects.order_by("pk").values_list("verdict", "label", "blind")
    blind = mode == "blind"
    assert list(settled) == [("label", "AML", blind), ("label", "APML", blind), ("cannot_classify", "", blind)]
    assert task.seats.get(user=sorters[0]).decisions.count() == 8
    page.keyboard.press("z")
    expect_all_saved(page)
    assert AdjudicationDecision.objects.count() == 4


def test_pages_of_staff_are_accessible_and_fit_a_phone(browser_as: OpenPage, make_user: Any, data_dir: Any) -> None:
    page = browser_as("admin")
    sorters = [make_user("pathologist", "anna"), make_user("pathologist", "ben")]
    task = sorting_task(cohort_with_fields(8), sorters, [make_user("pathologist", "cleo")])
    sort_all(task, 3)
    page.goto("/sorting/taxonomies/")
    for path in ("", "new/", "taxonomies/", *(f"{task.public_id}/{p}" for p in ("", "agreement/", "disagreements/"))):
        page.goto(f"/sorting/{path}")
        page.set_viewport_size({"width": 1440, "height": 900})
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/sorting/taxonomies/")
    page.get_by_role("link", name="New version from this").click()
    page.wait_for_url(re.compile(r"/sorting/taxonomies/\d+/"))
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
