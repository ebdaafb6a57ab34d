"""The sheet of saliency maps as people see it: maps over fields, in every theme, on a phone, by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone
from tests.browser.test_result import pipeline, shot, slide  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_sheet_of_maps(pipeline: Any, slide: Any, browser_as: Callable[..., Any]) -> None:  # noqa: F811
    from inference.services.runs import run_request
    from leukoweb.core.jobs.execute import execute

    run = run_request(actor=None, slide=slide)
    assert execute(run.job_id)
    page = browser_as("pathologist", viewport={"width": 1440, "height": 900})
    address = f"/results/{run.public_id}/saliency/"
    page.goto(address)
    overlays = page.locator("img.saliency-over")
    assert overlays.count() == 6 * 2
    for i in range(2):
        overlays.nth(i).scroll_into_view_if_needed()
        overlays.nth(i).evaluate("image => image.decode()")
        over, under = (
            page.locator(name).nth(i).bounding_box()
            for name in ("img.saliency-over", ".saliency-stack .saliency-field")
        )
        assert over == pytest.approx(under), "the map lies exactly over its field"
    assert_accessible_in_every_theme(page)
    shot(page, "saliency-sheet")
    page.emulate_media(color_scheme="dark")
    shot(page, "saliency-sheet-dark")
    assert_fits_a_phone(page)

    for path in (settings.CACHE_ROOT / "saliency").rglob("*.*"):
        path.unlink()
    page.goto(address)
    page.get_by_role("button", name="Make all maps").click()
    page.get_by_role("button", name="Cancel").wait_for()
    shot(page, "saliency-sheet-waiting")
