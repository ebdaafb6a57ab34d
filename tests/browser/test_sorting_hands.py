"""What a key, the mouse and a dialog of the sorting board do, on a page without a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sorting_page import SITE, expect_found, expect_said, image, open_board, opened

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Page]:
    yield from opened(browser)


def test_in_the_gallery_a_key_is_for_what_the_person_meant(page: Page) -> None:
    """Not for what a drag, a dialog, a filter or a lost picture left behind; why nothing was decided is seen."""
    page.route(f"**/images/{image(1)}/thumb/", lambda route: route.abort())
    page = open_board(page)
    expect(page.locator("#tile-1[data-failed]")).to_be_visible()
    drag = """(tile, name) => tile.dispatchEvent(
        new DragEvent(name, { bubbles: true, dataTransfer: new DataTransfer() }))"""
    page.locator("#tile-3").evaluate(drag, "dragstart")
    page.locator("#tile-3").evaluate(drag, "dragend")  # given up
    page.keyboard.press("1")
    expect_found(page, _0="AML")

    stage = page.locator(".board-stage")
    place = stage.bounding_box()
    page.keyboard.press("2")
    expect_said(page, "One image could not be loaded. Nothing was decided.")
    assert stage.bounding_box() == place, "no line moves the images"
    page.unroute(f"**/images/{image(1)}/thumb/")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#tile-1[data-failed]")).to_have_count(0)
    page.locator("[data-filter-what]").dispatch_event("pointerdown")  # opened with the mouse, closed as it was
    page.locator("[data-filter-what]").focus()
    page.keyboard.press("2")
    expect(page.locator("[data-gallery]")).to_be_focused()
    expect_found(page, _0="AML", _1="ALL")
    page.locator("summary").click()
    expect(page.locator("[data-gallery]")).to_be_focused()
    page.locator("summary").click()

    # The click on a reason brings the window back: it waits for the server's word.
    page.locator("#tile-3").hover()
    page.keyboard.press("x")
    page.evaluate("replies.place = [new Promise((resolve) => { window.answer = resolve; })]")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("[data-reason=blur]").click()
    page.evaluate("answer()")
    expect_found(page, _0="AML", _1="ALL", _3="blur")
    page.keyboard.press("3")  # the pointer has left the excluded image
    expect_found(page, _0="AML", _1="ALL", _2="APML", _3="blur")
    expect(page.locator("[data-badge]")).to_have_attribute("data-pending", "0")


def test_in_the_single_view_no_key_reaches_what_is_behind_a_dialog(page: Page) -> None:
    held: list[Any] = []
    page.route(f"**/images/{image(0)}/", lambda route: held.append(route))
    page = open_board(page)
    page.keyboard.press("g")
    page.keyboard.press("g")  # to the gallery while the image loads, and back: it fits
    for route in held:
        route.fallback()
    page.unroute(f"**/images/{image(0)}/")
    page.wait_for_function(f"() => performance.getEntriesByName('{SITE}/images/{image(0)}/').length")
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    page.keyboard.press("g")
    shown = "(index) => board.single.shown === index && board.model.focus === index"
    page.wait_for_function(shown, arg=0)
    page.wait_for_function("""() => {
        const { clientWidth, clientHeight } = document.querySelector("[data-single-stage]");
        return Math.abs(board.single.core.imageScale - Math.min(clientWidth / 320, clientHeight / 240)) < 0.01;
    }""")
    page.keyboard.down(" ")
    page.keyboard.press("x")
    page.keyboard.up(" ")  # a tap, but for the dialog
    expect(page.get_by_role("dialog")).to_contain_text("Exclude this image")
    assert page.evaluate("board.model.focus") == 0
    page.evaluate("""document.querySelector("dialog[open]").dispatchEvent(
        new KeyboardEvent("keydown", { key: "&", code: "Digit1" }))""")  # French
    expect_found(page, _0="blur")
    page.wait_for_function(shown, arg=1)

    # Decided in another window: a key on its way to the next image answers nothing.
    page.evaluate("""(image) => {
        const theirs = { image, key: "T", verdict: "label", label: "CLL", reason: "" };
        replies.decisions = [[409, "E_STALE", { conflicts: [theirs] }]];
    }""", image(1))  # fmt: skip
    page.keyboard.press("1")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Decided in two windows")
    expect(dialog.get_by_role("heading")).to_be_focused()
    page.keyboard.press(" ")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Keep. On the server").click()
    expect_found(page, _0="blur", _1="CLL")
    page.keyboard.press("z")  # its own change of that image is no more; the one before is
    expect_found(page, _1="CLL")
    expect(page.locator("[data-badge]")).to_have_attribute("data-pending", "0")
    assert page.evaluate("asked.filter(([what]) => what === 'decisions').at(-1)[1].decisions[0].image") == image(0)
