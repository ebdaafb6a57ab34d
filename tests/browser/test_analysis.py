"""Analyses in a real browser: accessible in every theme, readable on a phone, figures that load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def analysis(run_jobs: Any, monkeypatch: Any) -> Any:
    from reader_study.services.analyses import analysis_ensure
    from reader_study.services.reconstruction import reconstruction_load

    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)
    made = analysis_ensure(reconstruction_load())
    run_jobs()
    return made


@pytest.fixture
def page(browser_as: Callable[..., Page], analysis: Any) -> Page:
    page = browser_as("coordinator")
    analysis.study.coordinators.add(page.user)  # type: ignore[attr-defined]
    return page


SLOW = ("participants", "agreement", "cases", "sessions", "remarks")  # made of the same parts as the others


@pytest.mark.parametrize(
    "section",
    ["endpoints", "accuracy", "comparison", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def test_sections_are_accessible_and_fit_a_phone(page: Page, analysis: Any, section: str) -> None:
    page.route("**/figures/**", lambda route: route.abort())  # drawn in another test; here they would only take time
    page.goto(f"/analyses/{analysis.public_id}/{section}/")
    assert_fits_a_phone(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    further = "tbody tr:nth-child(n+7)"  # made as those before them
    page.evaluate("rows => document.querySelectorAll(rows).forEach((row) => row.remove())", further)
    assert_accessible_in_every_theme(page)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.analysis-table td, .analysis-table .interval')]"
        ".map(cell => parseFloat(getComputedStyle(cell).fontSize)))"
    )
    assert smallest >= 12


def test_list_and_checker_are_accessible_and_fit_a_phone(page: Page, analysis: Any) -> None:
    page.goto(f"/studies/{analysis.study.public_id}/analyses/")
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
    page.goto("/consistency/")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("possible")).to_be_visible()
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_a_figure_is_drawn_and_shown(page: Page, analysis: Any) -> None:
    page.goto(f"/analyses/{analysis.public_id}/comparison/")
    picture = page.locator("img[src*='figures/forest_five.svg']")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("img => img.complete && img.naturalWidth > 0", arg=picture.element_handle(), timeout=60_000)
