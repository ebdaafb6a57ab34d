"""The coordinator's pages in a real browser: accessible, on a phone, live, and without a mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from reader_study.models import Study
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone
from tests.reader_study.studies import draft, make_locked, make_study, mark, sessions, world
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


def test_the_checks_follow_the_typing_and_lead_to_the_field(page: Page) -> None:
    study = make_study(page.user)  # type: ignore[attr-defined]
    open_study(page, study, "design/")
    expect(page.get_by_text("Ready to lock")).to_be_visible()
    page.get_by_label("Washout in days").fill("900")
    page.get_by_label("What the study asks").fill("")
    link = page.locator("#checks").get_by_role("link", name="What the study asks", exact=True)
    expect(link).to_be_visible()
    expect(page.get_by_text("not saved", exact=True)).to_be_visible()
    link.click()
    expect(page.locator(":target")).to_have_attribute("name", "question")
    page.get_by_label("What the study asks").fill("Is it as good?")
    expect(page.get_by_text("The protocol needs the question")).to_be_hidden()


def tab_to(page: Page, selector: str, *, back: bool = False) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(160):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def type_into(page: Page, selector: str, text: str) -> None:
    tab_to(page, selector)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_a_study_is_designed_locked_and_extended_without_a_mouse(page: Page) -> None:
    document = draft()
    page.goto("/studies/")
    tab_to(page, "a[href='/studies/new/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/new/")
    type_into(page, "#id_title", "Without a mouse")
    page.keyboard.press("Enter")
    page.wait_for_url("**/design/")
    type_into(page, "[name='question']", document["question"])
    tab_to(page, "[name='cases.cohort']")
    page.keyboard.type("External")
    for row, (label, person) in enumerate([("P1", "p1"), ("P2", "p2")]):
        type_into(page, f"[name='readers-{row}-label']", label)
        tab_to(page, f"[name='readers-{row}-username']")
        page.keyboard.type(person)
    tab_to(page, "[name='ai.primary']")
    page.keyboard.type("starter")
    type_into(page, "[name='consent']", "I agree.")
    type_into(page, "[name='instructions']", "Look at every field.")
    expect(page.get_by_text("Ready to lock once it is saved")).to_be_visible()
    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => { location.href = '/studies/'; }, 0)")
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    page.locator("#protocol-file").set_input_files({"name": "p.yaml", "mimeType": "text/yaml", "buffer": b"title: X"})
    page.get_by_role("button", name="Replace the draft").press("Enter")
    expect(page.locator("#replace-asks")).to_be_visible()
    page.keyboard.press("Enter")  # back to the form
    expect(page.locator("#replace-asks")).to_be_hidden()
    expect(page.locator("[name='instructions']")).to_have_value("Look at every field.")
    tab_to(page, ".designer-save button[name='then']", back=True)
    page.keyboard.press("Enter")
    page.wait_for_url("**/lock/")
    expect(page.get_by_text("Saved.")).to_be_visible()
    type_into(page, "[name='signed_name']", "Dr Keyboard")
    type_into(page, "[name='password']", "correct horse")
    tab_to(page, "[name='agree']")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The protocol is locked.")).to_be_visible()
    study = Study.objects.get(title="Without a mouse")
    assert (study.state, study.protocols.get().signed_name) == ("locked", "Dr Keyboard")
    assert [reader.label for reader in study.readers.all()] == ["P1", "P2"]
