"""How decisions of the sorting board reach the server, whatever happens to line, tab and sign-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sorting_support import (
    badge,
    cohort_with_fields,
    expect_all_saved,
    labels,
    open_board,
    sorting_task,
    until,
)
from tests.browser.test_pages import axe_problems

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]


@pytest.fixture
def sorter(browser_as: OpenPage) -> Page:
    return browser_as("pathologist")


@pytest.fixture
def task(sorter: Any, data_dir: Any) -> Any:
    return sorting_task(cohort_with_fields(12), [sorter.user])


def test_offline_decisions_survive_a_closed_tab(sorter: Page, task: Any) -> None:
    page = sorter
    open_board(page, task)
    page.keyboard.press("1")
    expect_all_saved(page)
    place = page.locator(".board-stage").bounding_box()
    page.context.set_offline(True)
    for key in "234":
        page.keyboard.press(key)
    expect(badge(page)).to_have_text("Offline: 3 not yet on the server, kept in this browser")
    assert page.locator(".board-stage").bounding_box() == place, "no word of the badge moves the images"
    assert labels(task)[:4] == ["AML", "", "", ""]
    context = page.context
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto("/")
    again.get_by_role("button", name=page.user.username).click()
    again.get_by_role("button", name="Sign out").click()
    expect(again).to_have_url(re.compile("/logout/$"))
    expect(again.get_by_text("Not saved yet: 3 sorting decisions.")).to_be_visible()
    assert axe_problems(again) == []
    open_board(again, task)
    expect_all_saved(again)
    assert labels(task)[:4] == ["AML", "ALL", "APML", "CML"]
    assert task.seats.first().decisions.count() == 4


def test_a_lost_answer_is_no_second_decision(sorter: Page, task: Any) -> None:
    """The server saved, the answer never came: the same key comes again and counts once."""
    page = sorter
    open_board(page, task)
    lost = []

    def lose(route: Any) -> None:
        if not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/decisions/", lose)
    page.keyboard.press("1")
    expect_all_saved(page)
    assert lost == [200]
    assert task.seats.first().decisions.count() == 1


def test_signed_out_keeps_everything_until_signed_in_again(sorter: Page, task: Any, browser_as: OpenPage) -> None:
    page = sorter
    open_board(page, task)
    cookies = page.context.cookies()
    strangers = browser_as("pathologist").context.cookies()
    page.context.add_cookies([c for c in cookies if "csrf" in c["name"]] + strangers)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.keyboard.press("7")  # asked before the first key is taken, though nothing waits
    expect(badge(page)).to_have_text("Somebody else is signed in now")
    page.keyboard.press("7")
    page.context.add_cookies(cookies)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(badge(page)).to_have_text("All saved")
    page.context.clear_cookies()
    page.keyboard.press("1")
    page.keyboard.press("2")
    expect(badge(page)).to_have_text("Signed out: 2 not yet on the server, kept in this browser")
    expect(page.get_by_role("link", name="Sign in", exact=True).first).to_be_visible()
    page.context.add_cookies([c for c in cookies if "csrf" in c["name"]] + strangers)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(badge(page)).to_have_text("Somebody else is signed in now: 2 not yet on the server, kept in this browser")
    page.keyboard.press("3")  # whoever sits there now decides nothing here
    page.context.add_cookies(cookies)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect_all_saved(page)
    assert labels(task)[:3] == ["AML", "ALL", ""]


def test_a_key_right_after_coming_back_waits_and_then_counts(sorter: Page, task: Any) -> None:
    open_board(sorter, task)
    asked: list[Any] = []
    sorter.route("**/place/", lambda route: asked.append(route))
    sorter.evaluate("window.dispatchEvent(new Event('focus'))")
    sorter.keyboard.press("1")
    sorter.keyboard.press("2")  # nobody has seen yet what it would be for
    until(sorter, lambda: len(asked) == 1)
    assert labels(task)[:2] == ["", ""]
    asked[0].continue_()
    until(sorter, lambda: labels(task)[:2] == ["AML", ""])
    sorter.unroute("**/place/")
    sorter.keyboard.press("2")
    expect_all_saved(sorter)
    assert labels(task)[:3] == ["AML", "ALL", ""]


@pytest.mark.parametrize(("choice", "expected"), [("On the server", "AML"), ("In this window", "CLL")])
def test_two_windows_are_both_shown_and_the_person_chooses(sorter: Page, task: Any, choice: str, expected: str) -> None:
    other = sorter.context.new_page()
    open_board(sorter, task)
    open_board(other, task)
    other.keyboard.press("1")
    expect_all_saved(other)
    held: list[Any] = []
    sorter.route("**/decisions/", lambda route: held.append(route))  # both are decided before the first is answered
    sorter.keyboard.press("5")
    sorter.keyboard.press("6")
    expect(badge(sorter)).to_contain_text("2 not yet on the server")
    for route in held:
        route.continue_()
    sorter.unroute("**/decisions/")
    dialog = sorter.get_by_role("dialog")
    expect(dialog).to_contain_text("On the server: Acute myeloid leukemia")
    expect(dialog).to_contain_text("In this window: Chronic lymphocytic leukemia")
    expect(badge(sorter)).to_have_text("2 not yet on the server: decided in another window too")
    assert axe_problems(sorter) == []
    sorter.get_by_role("button", name=re.compile(choice)).click()
    expect_all_saved(sorter)
    assert labels(task)[:2] == [expected, "REACTIVE"]


def test_what_the_server_refuses_is_said_and_kept(sorter: Page, task: Any, admin_user: Any) -> None:
    from cases.services.sorting_tasks import task_close

    open_board(sorter, task)
    task_close(actor=admin_user, task=task)
    sorter.keyboard.press("1")
    expect(sorter.get_by_role("dialog")).to_contain_text("was closed on")
    sorter.get_by_role("button", name="Keep them").click()
    expect(badge(sorter)).to_have_text("1 not yet on the server: not accepted")
    sorter.get_by_role("button", name="Choose").click()
    sorter.get_by_role("button", name="Throw them away").click()
    expect(sorter.get_by_text("is closed")).to_be_visible()
