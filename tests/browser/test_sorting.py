"""The sorting board in a real browser: both views, keys, undo, offline, two windows, own keys, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sorting_support import (
    cohort_with_fields,
    expect_all_saved,
    expect_shown,
    labels,
    open_board,
    sorting_task,
    until,
)
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone, axe_problems

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
N = 12


@pytest.fixture
def cohort(db: None, data_dir: Any) -> Any:
    return cohort_with_fields(N)


@pytest.fixture
def sorter(browser_as: OpenPage) -> Page:
    return browser_as("pathologist")


@pytest.fixture
def task(cohort: Any, sorter: Any) -> Any:
    return sorting_task(cohort, [sorter.user], instructions="Look at the nucleus first.")


def test_a_whole_session_without_a_mouse(sorter: Page, task: Any) -> None:
    """From the start page to the last decision, with keys only; then the task shows all decided."""
    page = sorter
    page.goto("/sorting/")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("Begin"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("[data-board][data-ready]")).to_be_attached()
    for number in range(N - 2):
        page.keyboard.press(str(1 + number % 7))
    page.keyboard.press("0")
    page.keyboard.press("x")
    expect(page.get_by_role("dialog")).to_contain_text("Exclude this image")
    page.keyboard.press("1")
    expect(page.locator("[data-progress-words]")).to_have_text(f"All {N} decided")
    expect_all_saved(page)
    keys = ["AML", "ALL", "APML", "CML", "CLL", "REACTIVE", "NO_LEUKEMIA"]
    assert labels(task) == [keys[n % 7] for n in range(N - 2)] + ["cannot_classify", "exclude"]
    decision = task.seats.first().decisions.last()
    assert (decision.reason, decision.origin) == ("blur", "key")


def test_the_board_is_accessible_and_fits_a_phone(sorter: Page, task: Any) -> None:
    open_board(sorter, task)
    assert_accessible_in_every_theme(sorter)
    for key in ("?", "x"):
        sorter.keyboard.press(key)
        expect(sorter.get_by_role("dialog")).to_be_visible()
        assert axe_problems(sorter) == []
        sorter.keyboard.press("Escape")
    sorter.keyboard.press("g")
    assert axe_problems(sorter) == []
    assert_fits_a_phone(sorter)


def test_nothing_on_the_board_tells_a_class(sorter: Page, task: Any) -> None:
    """Codes and names of these slides and files hold AML; neither the page nor the queue does, but for the buttons."""
    urls: list[str] = []
    sorter.on("request", lambda request: urls.append(request.url))
    answers: list[str] = []
    sorter.on("response", lambda r: answers.append(r.text()) if "/queue/" in r.url else None)
    open_board(sorter, task)
    expect(sorter.locator(".tile").first).to_be_visible()
    assert not [url for url in urls if "AML" in url]
    assert answers
    assert "AML" not in answers[0]
    assert "T-" not in sorter.locator("[data-gallery]").inner_html()


def test_undo_and_redo_to_any_depth_also_after_a_reload(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    for key in "12345":
        page.keyboard.press(key)
    page.keyboard.press("Control+z")
    page.keyboard.press("z")
    expect_all_saved(page)
    assert labels(task)[:5] == ["AML", "ALL", "APML", "cleared", "cleared"]
    page.keyboard.press("Control+Shift+z")
    expect_all_saved(page)
    assert labels(task)[:5] == ["AML", "ALL", "APML", "CML", "cleared"]

    open_board(page, task)
    page.keyboard.press("z")
    page.keyboard.press("z")  # at once: what was before is asked for and told once
    page.keyboard.press("z")
    until(page, lambda: labels(task)[:5].count("cleared") == 4)
    page.keyboard.press("z")
    until(page, lambda: labels(task)[:5].count("cleared") == 5)
    expect_all_saved(page)
    page.keyboard.press("z")
    expect(page.locator("[data-announce]")).to_have_text("There is nothing to undo.")
    for _ in range(5):
        page.keyboard.press("Control+y")
    expect_all_saved(page)
    assert labels(task)[:5] == ["AML", "ALL", "APML", "CML", "CLL"]
    assert task.seats.first().decisions.count() == 5 + 3 + 4 + 5


def test_several_at_once_by_range_row_all_and_invert(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("Control+a")
    expect(page.locator("[data-shown]")).to_have_text(f"{N} images, {N} chosen")
    page.keyboard.press("Escape")
    for _ in range(3):
        page.keyboard.press(" ")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("i")
    page.keyboard.press("7")
    expect_all_saved(page)
    found = labels(task)
    assert found.count("NO_LEUKEMIA") == N - 3
    page.keyboard.press("z")
    expect_all_saved(page)
    assert labels(task)[:3] == ["AML"] * 3
    assert labels(task).count("cleared") == N - 5  # the two that were AML are so again


def test_the_pointer_decides_and_tiles_can_be_dropped_on_a_class(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.locator("#tile-4").hover()
    page.keyboard.press("5")
    page.locator("#tile-6").drag_to(page.locator("[data-bin='CML']"))
    expect_all_saved(page)  # a click right into the end of a drag is none in the browser
    page.locator("#tile-0").click()
    page.locator("#tile-2").click(modifiers=["Shift"])
    expect(page.locator("[data-shown]")).to_have_text(f"{N} images, 3 chosen")
    page.locator("[data-bin='ALL']").click()
    expect_all_saved(page)
    found = labels(task)
    assert (found[4], found[6], found[:3], found[3]) == ("CLL", "CML", ["ALL"] * 3, "")
    # What was clicked does not keep the keys: Space and Enter belong to the images again, also behind a dialog.
    page.locator("#tile-3").click()
    gallery = page.locator("[data-gallery]")
    for button in ("[data-bin=cannot_classify]", "[data-action=undo]", "[data-bin=exclude]"):
        page.locator(button).click()
        if "exclude" in button:
            page.locator("[data-reason=blur]").click()
        expect(gallery).to_be_focused()
    expect_all_saved(page)
    assert labels(task)[3] == "exclude"


def test_the_single_view_goes_on_and_resumes_where_it_was_left(sorter: Page, task: Any) -> None:
    page, held = sorter, []
    second = task.seats.first().items.select_related("image").get(position=2).image.public_id
    page.route(re.compile(rf"/images/{second}/$"), lambda route: held.append(route))
    open_board(page, task)
    page.keyboard.press("g")
    expect(page.locator("[data-single]")).to_be_visible()
    expect_shown(page)
    page.keyboard.press("Numpad3")
    expect(page.locator("[data-single-stage]")).to_have_attribute("data-veiled", "")
    page.keyboard.press("1")  # the next image is not there: nothing may be said of it
    expect(page.locator("[data-single-message]")).to_have_text("Loading. Nothing was decided.")
    page.keyboard.press("f")  # and it holds up no other one
    expect_shown(page)
    page.keyboard.press("2")
    expect_all_saved(page)
    assert labels(task)[:4] == ["APML", "", "ALL", ""]
    for route in held:
        route.continue_()
    expect_shown(page)
    expect(page.locator("[data-single-message]")).to_be_hidden()
    page.keyboard.press("a")
    page.keyboard.press("4")
    expect(page.locator("[data-single-words]")).to_have_text("Chronic myeloid leukemia")
    expect_all_saved(page)
    page.wait_for_timeout(1800)
    open_board(page, task)
    expect(page.locator("[data-single]")).to_be_visible()
    expect(page.locator("[data-single-words]")).to_have_text("Chronic myeloid leukemia")


def test_space_held_moves_the_image_and_tapped_goes_on(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.keyboard.press("Enter")
    stage = page.locator("[data-single-stage]")
    expect(stage.locator("canvas").first).to_be_visible()

    def view() -> dict[str, float]:
        return page.locator("[data-board]").evaluate("(root) => root.board.single.core.getView()")

    def at_rest() -> dict[str, float]:
        """Where the viewer looks when nothing moves any more."""
        last: dict[str, float] = {}
        while (now := view()) != last:
            last = now
            page.wait_for_timeout(300)
        return now

    until(page, lambda: page.locator("[data-board]").evaluate("(root) => root.board.single.core?.imageSize"))
    whole = at_rest()
    for _ in range(4):
        page.keyboard.press("+")
    where = page.locator("[data-single-words]")
    box = stage.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    until(page, lambda: view()["width"] < whole["width"] / 2)
    before = at_rest()
    page.mouse.move(x, y)
    page.wait_for_timeout(200)
    assert at_rest() == before  # without the key the pointer moves nothing
    page.keyboard.down(" ")
    page.keyboard.down(" ")  # a repeat
    expect(stage).to_have_attribute("data-hand", "")
    page.mouse.move(x + 60, y + 30)
    page.mouse.move(x + 120, y + 60)
    page.keyboard.up(" ")
    by_pointer = at_rest()
    assert (by_pointer["x"] < before["x"], by_pointer["y"] < before["y"]) == (True, True)
    expect(stage).not_to_have_attribute("data-hand", "")
    place = page.locator("[data-board]").evaluate("(root) => root.board.model.focus")
    assert place == 0  # it was no tap
    page.keyboard.down(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    until(page, lambda: view()["x"] > by_pointer["x"])
    assert page.locator("[data-board]").evaluate("(root) => root.board.model.focus") == 0
    expect_shown(page)
    page.keyboard.press("1")
    page.keyboard.press("ArrowLeft")
    expect(where).not_to_have_text("Undecided")
    page.keyboard.press(" ")
    expect(where).to_have_text("Undecided")
    assert page.locator("[data-board]").evaluate("(root) => root.board.model.focus") == 1
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("hold: move the image")


def test_filters_keep_images_in_place_until_applied_again(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.get_by_label("Show").dispatch_event("pointerdown")  # with the mouse: the keys are for the images again
    page.get_by_label("Show").select_option("undecided")
    expect(page.locator("[data-gallery]")).to_be_focused()
    page.keyboard.press("1")
    expect(page.locator("[data-shown]")).to_have_text(f"{N} images")
    page.keyboard.press("c")
    expect(page.locator("[data-shown]")).to_have_text(f"{N - 1} of {N} images")
    page.get_by_label("Show").select_option("AML")
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_label("Show").select_option("CLL")
    expect(page.locator("[data-nothing]")).to_be_visible()
    page.get_by_label("Show").select_option("all")
    page.locator("[data-filter-slide]").select_option("2")
    expect(page.locator(".tile")).to_have_count(N // 3)


def test_keys_can_be_changed_with_a_conflict_check(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.get_by_role("button", name="Change keys").click()
    message = page.locator("[data-keys-message]")
    change = page.locator("[data-rebind='label:AML']")
    change.click()
    page.keyboard.press("2")
    expect(message).to_have_text("2 already means “Acute lymphoblastic leukemia”. Choose another one.")
    change.click()
    page.keyboard.press("Control+w")
    expect(message).to_contain_text("The browser keeps that key")
    change.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_visible()
    change.click()
    page.keyboard.press("q")
    expect(message).to_have_text("Saved: Q.")
    assert axe_problems(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("[data-bin='AML'] kbd")).to_have_text("Q")
    page.locator("[data-gallery]").focus()
    page.keyboard.press("1")
    page.keyboard.press("q")
    expect_all_saved(page)
    assert labels(task)[:2] == ["AML", ""]
    open_board(page, task)
    expect(page.locator("[data-bin='AML'] kbd")).to_have_text("Q")


def test_a_key_held_down_decides_once(sorter: Page, task: Any) -> None:
    open_board(sorter, task)
    for _ in range(4):
        sorter.keyboard.down("1")  # the second and later ones are repeats
    sorter.keyboard.up("1")
    expect_all_saved(sorter)
    assert labels(task)[:2] == ["AML", ""]
