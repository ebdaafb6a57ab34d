"""The viewer's second half in a real browser: comparing, flicks, keys of one's own; the page of a review."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone
from tests.browser.test_viewer import N_FIELDS, open_viewer, slide, zoom_percent

__all__ = ["slide"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
VIEWS = """() => ['second', 'stage'].map(name => {
    const viewer = OpenSeadragon.getViewer(document.querySelector(`[data-viewer-${name}]`));
    const {x, y, width} = viewer.viewport.getBounds(true);
    return [x, y, width].map(value => Math.round(value * 1000));
})"""


def settled(page: Page) -> list[list[int]]:
    """Where both halves look, once nothing moves any more."""
    before: Any = None
    for _ in range(60):
        now = page.evaluate(VIEWS)
        if now == before:
            return now
        before = now
        page.wait_for_timeout(100)
    raise AssertionError("the views keep moving")


def test_two_fields_side_by_side_move_together_until_unlinked(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist", viewport={"width": 1440, "height": 900})
    open_viewer(page, slide, position=2)
    page.keyboard.press("v")
    expect(page.locator("[data-viewer-tag=second]")).to_have_text("Field 2, kept")
    page.keyboard.press("f")
    expect(page.locator("[data-viewer-tag=main]")).to_have_text("Field 3")
    expect(page.get_by_role("button", name="Compare")).to_have_attribute("aria-pressed", "true")
    kept, main = page.locator("[data-viewer-second]").bounding_box(), page.locator("[data-viewer-stage]").bounding_box()
    assert kept
    assert main
    assert kept["x"] + kept["width"] <= main["x"]
    assert abs(kept["width"] - main["width"]) < 2
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    one, two = settled(page)
    assert one == two, "keys move the other half along"
    page.mouse.move(kept["x"] + 100, kept["y"] + 100)
    page.mouse.wheel(0, -240)
    one, two = settled(page)
    assert one == two, "the wheel over the kept half moves the main one along"
    page.mouse.move(main["x"] + 100, main["y"] + 100)
    page.keyboard.press("l")
    before = settled(page)[0]
    page.keyboard.press("Home")
    one, two = settled(page)
    assert (one == before, two == before) == (True, False), "unlinked: each by itself"
    assert_accessible_in_every_theme(page)
    page.keyboard.press("v")
    expect(page.locator("[data-viewer-second]")).to_be_hidden()
    expect(page.get_by_role("button", name="Linked")).to_be_hidden()


def test_comparing_fits_a_phone(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist", viewport={"width": 390, "height": 844})
    open_viewer(page, slide)
    page.keyboard.press("v")
    kept, main = page.locator("[data-viewer-second]").bounding_box(), page.locator("[data-viewer-stage]").bounding_box()
    assert kept
    assert main
    assert kept["y"] + kept["height"] <= main["y"], "one above the other"
    assert_fits_a_phone(page)


def flick(page: Page, from_x: float, to_x: float) -> None:
    box = page.locator("[data-viewer-stage]").bounding_box()
    assert box
    driver = page.context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2
    began = time.time()

    def touch(kind: str, ms: int, *xs: float) -> None:
        points = [{"x": box["x"] + x, "y": y} for x in xs]
        at = began + ms / 1000  # a flick is quick, whatever the machine is busy with
        driver.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points, "timestamp": at})

    touch("touchStart", 0, from_x)
    for step in range(1, 5):
        touch("touchMove", 20 * step, from_x + (to_x - from_x) * step / 4)
    touch("touchEnd", 100)


def test_a_flick_goes_to_the_next_field_only_while_it_is_seen_whole(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist", viewport={"width": 1024, "height": 768}, has_touch=True)
    open_viewer(page, slide)
    position = page.locator("[data-viewer-position]")
    flick(page, 500, 250)
    expect(position).to_have_text(f"Field 2 of {N_FIELDS}")
    flick(page, 250, 500)
    expect(position).to_have_text(f"Field 1 of {N_FIELDS}")
    # A field that arrives is shown whole: only then is coming closer not undone.
    expect(page.locator("[data-viewer-stage]")).to_have_attribute("aria-busy", "false")
    whole = zoom_percent(page)
    for _ in range(3):
        page.keyboard.press("+")
    expect(page.locator("[data-viewer-zoom]")).not_to_have_text(f"{whole} %")
    flick(page, 500, 250)
    page.wait_for_timeout(300)
    expect(position).to_have_text(f"Field 1 of {N_FIELDS}")


def test_a_double_click_comes_closer(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    before = zoom_percent(page)
    page.locator("[data-viewer-stage]").dblclick(position={"x": 300, "y": 200})
    twice = "|".join(str(2 * before + off) for off in (-1, 0, 1))
    expect(page.locator("[data-viewer-zoom]")).to_have_text(re.compile(rf"^({twice}) %$"))


def test_the_three_next_fields_are_fetched_ahead(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    open_viewer(page, slide)
    page.wait_for_load_state("networkidle")
    ids = [str(image.public_id) for image in slide.images.order_by("position")]
    asked = [any(url.endswith(f"/images/{one}/") for url in fetched) for one in ids]
    assert asked == [True, True, True, True, False]


def test_keys_of_ones_own_last_and_clashes_are_said(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    position, message = page.locator("[data-viewer-position]"), page.locator("[data-keys-message]")
    page.keyboard.press("?")
    change = page.get_by_role("button", name="Change the key for: Next field", exact=True)
    change.click()
    page.keyboard.press("d")
    expect(message).to_contain_text("Key d is bound to")
    page.keyboard.press("Tab")
    expect(message).to_contain_text("belongs to the browser")
    page.keyboard.press("j")
    expect(message).to_contain_text("“Next field” is now J.")
    expect(change).to_be_focused()
    assert_accessible_in_every_theme(page)
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.keyboard.press("j")
    expect(position).to_have_text(f"Field 2 of {N_FIELDS}")
    page.reload()
    expect(position).to_have_text(f"Field 2 of {N_FIELDS}")
    page.keyboard.press("j")
    expect(position).to_have_text(f"Field 3 of {N_FIELDS}")
    page.keyboard.press("?")
    page.get_by_role("button", name="All keys as at first").click()
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(position).to_have_text(f"Field 4 of {N_FIELDS}")


def test_a_review_is_done_by_keys(browser_as: OpenPage, slide: Any) -> None:
    from cases.models import Slide, TextHint
    from cases.text_hint import VERSION

    third = slide.images.get(position=3)
    box = {"x": 100, "y": 100, "width": 300, "height": 60, "score": 0.9}
    TextHint.objects.create(content_sha256=third.content_sha256, version=VERSION, boxes=[box])
    page = browser_as("technician", viewport={"width": 1440, "height": 900})
    page.goto("/slides/review/")
    assert_accessible_in_every_theme(page)
    page.get_by_role("link", name="Start with the oldest").click()
    expect(page.get_by_role("button", name="Keys")).to_be_visible()  # the keys listen
    page.keyboard.press("n")
    field = page.get_by_role("link", name="Field 3, seems to hold text")
    expect(field).to_be_focused()
    frame, picture = field.locator("rect").bounding_box(), field.locator("img").bounding_box()
    assert frame
    assert picture
    assert frame["x"] - picture["x"] == pytest.approx(picture["width"] * 100 / 800, abs=4)
    assert frame["width"] == pytest.approx(picture["width"] * 300 / 800, abs=6)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name="Field 4")).to_be_focused()
    width = picture["width"]
    page.keyboard.press("+")
    larger = field.locator("img").bounding_box()
    assert larger
    assert larger["width"] > width
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)
    for key in "123s":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Slide V-1-A was passed.")).to_be_visible()
    assert Slide.objects.get(pk=slide.pk).review == "passed"
