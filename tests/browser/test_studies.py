"""The coordinator's pages in a real browser: accessible in every theme, and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from reader_study.models import Study
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone
from tests.reader_study.studies import make_locked, make_study, mark, sessions, world
from tests.reader_study.test_walkthrough import unblinded

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
expect.set_options(timeout=30_000)


@pytest.fixture
def page(browser_as: OpenPage, transactional_db: None) -> Page:
    """A coordinator in the small world of the study tests."""
    world()
    opened = browser_as("coordinator")
    opened.set_default_timeout(90_000)  # a lock lays out every session; busy machines take their time
    return opened


def open_study(page: Page, study: Study, where: str = "") -> None:
    page.goto(f"/studies/{study.public_id}/{where}")


@pytest.mark.parametrize("where", ["design/", "lock/", "protocol/", "confounders/", "", "extend/", "freeze/", "amend/"])
def test_pages_of_a_running_study(page: Page, where: str) -> None:
    user: Any = page.user  # type: ignore[attr-defined]
    if where in ("design/", "lock/", "confounders/"):
        study = make_study(user)
    else:
        study = make_locked(user)
        mark(sessions(study)[0], "open")
    open_study(page, study, where)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_pages_after_the_unblinding(page: Page) -> None:
    study = unblinded(page.user)  # type: ignore[attr-defined]
    for where in ("cases/?only=all", f"cases/{study.cases.first().code}/", "unblind/"):
        open_study(page, study, where)
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)
        page.set_viewport_size({"width": 1440, "height": 900})


def test_the_list_with_and_without_studies(page: Page) -> None:
    page.goto("/studies/")
    expect(page.get_by_text("You coordinate no study yet.")).to_be_visible()
    assert_accessible_in_every_theme(page)
    make_locked(page.user)  # type: ignore[attr-defined]
    page.reload()
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
