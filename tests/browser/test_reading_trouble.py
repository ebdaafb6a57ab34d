"""What goes wrong at a reading board in a hospital: two windows, the back button, a cut line, a lock behind a sheet."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from cases.services.withdrawals import patient_withdraw
from reader_study.models import Reading, ReadingSession
from tests.browser.test_pages import axe_problems
from tests.browser.test_reading import desk, draft, saved  # noqa: F401
from tests.reader_study.factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BOARD = "document.querySelector('[data-desk]').board"


def settled(page: Any) -> None:
    page.wait_for_function(f"() => {BOARD}.sync.queue.size === 0")


def test_keys_before_the_first_case_and_a_key_that_is_held_do_nothing(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=3, n_fields=1)
    page.route("**/show/", lambda route: (page.wait_for_timeout(400), route.continue_()))
    state = page.request.get(f"/read/{made.session().token}/state/").json()
    more = [{"name": f"C{n}", "title": f"Class {n}", "key": str(n) if n < 10 else ""} for n in range(6, 13)]
    many = state | {"classes": state["classes"] + more}  # a protocol may have more classes than there are digits
    page.route("**/state/", lambda route: route.fulfill(json=many))
    page.reload()
    for key in ("Enter", "b", "1", "Shift+Digit2", "m", "v", "r"):
        page.keyboard.press(key)
    expect(page.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    page.unroute("**/show/")
    page.unroute("**/state/")
    assert draft(made).get("diagnosis", "") == ""
    page.keyboard.down("Enter")
    for _ in range(5):
        page.keyboard.down("Enter")  # the keyboard repeats it
    page.keyboard.up("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 3")
    page.wait_for_timeout(300)
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 3")


def test_no_key_answers_a_case_that_is_being_left(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=2, n_fields=1)
    page.keyboard.press("1")
    saved(page)
    settled(page)
    page.context.set_offline(True)
    page.keyboard.press("Enter")  # the next case cannot come
    expect(page.locator("[data-saved]")).to_contain_text("No connection, trying again")
    page.keyboard.press("2")
    page.locator("[data-diagnosis=CML]").click(force=True)
    held: list[Any] = []
    page.route("**/image/*/", lambda route: held.append(route))
    page.context.set_offline(False)
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    expect(page.locator("[data-stage]")).to_be_hidden()  # its field is on its way: the one of the case before is gone
    for key in ("2", "c", "r", "m"):
        page.keyboard.press(key)
    page.locator("[data-diagnosis=CML]").click(force=True)
    expect(page.locator("[data-message]")).to_have_text("Loading field 1")
    held[0].continue_()
    expect(page.locator("[data-stage]")).to_be_visible()
    expect(page.locator("[data-answer] [aria-pressed=true], [data-recognised]:checked")).to_have_count(0)
    assert (draft(made)["diagnosis"], draft(made, 2).get("diagnosis", "")) == ("ALL", "")


def test_after_a_click_enter_still_means_the_next_case(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=2, n_fields=1)
    page.get_by_text("All cases").click()
    page.locator("summary", has_text="Adjust").click()
    page.locator("#desk-brightness").click()
    page.get_by_label(re.compile("I recognised this case")).click()
    expect(page.get_by_label("What was it?")).to_be_focused()
    page.keyboard.type("a scratch")
    page.keyboard.press("Enter")
    page.keyboard.press("4")
    saved(page)
    page.keyboard.press("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    page.wait_for_function("() => document.querySelector('[data-desk]').board.sync.queue.size === 0")
    assert (draft(made)["recognised_note"], draft(made)["diagnosis"]) == ("a scratch", "CML")


def test_back_and_forward_lose_nothing(desk: Any) -> None:  # noqa: F811
    page, _ = desk(n_cases=2, n_fields=1)
    page.keyboard.press("3")
    saved(page)
    settled(page)
    page.keyboard.press("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    page.go_back()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.go_forward()
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    page.keyboard.press("b")
    expect(page.locator("[data-diagnosis=CLL]")).to_have_attribute("aria-pressed", "true")


def test_a_second_window_of_a_forward_only_session_catches_up(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=3, n_fields=1, navigation="forward_only")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    other.keyboard.press("1")
    other.keyboard.press("Shift+Digit5")
    other.keyboard.press("Enter")
    expect(other.locator("[data-title]")).to_have_text("Case 2 of 3")
    page.keyboard.press("2")  # on the case that was left
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 3")
    expect(page.locator("[data-message]")).to_contain_text("finished in another window")
    expect(page.locator("[data-answer] .desk-choice[aria-pressed=true]")).to_have_count(0)
    assert (draft(made)["diagnosis"], draft(made, 2).get("diagnosis", "")) == ("ALL", "")


def test_a_lock_does_not_hide_behind_the_sheet_of_keys_or_the_instructions(desk: Any) -> None:  # noqa: F811
    page, _ = desk(n_cases=1)
    for key, name, words in (("?", "help", "Instructions of the study"), ("i", "instructions", "then decide.")):
        page.keyboard.press(key)
        expect(page.locator(f"[data-{name}]")).to_contain_text(words)
        expect(page.locator(f"[data-{name}]")).to_be_visible()
        page.evaluate(f"void {BOARD}.locked({{code: 'E_LOCKED'}})")
        expect(page.locator(f"[data-{name}]")).to_be_hidden()
        expect(page.locator("[data-locked]")).to_be_visible()
        for _ in range(3):  # a browser lets no page stop the second
            page.keyboard.press("Escape")
        expect(page.locator("[data-locked]")).to_be_visible()
        expect(page.locator("[data-stages]")).to_be_hidden()
        page.locator("#desk-password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("[data-stages]")).to_be_visible()
    assert page.locator(".desk-how").bounding_box()["height"] >= 40, "2.5 rem to hit"
    page.locator(".desk-how").click()
    expect(page.locator("[data-instructions]")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("2")  # the keys are the board's again
    saved(page)


def test_a_field_that_meets_a_locked_desk_comes_after_the_password(desk: Any) -> None:  # noqa: F811
    page, _ = desk(n_cases=1, n_fields=8)
    locked = {"error": {"code": "E_LOCKED", "message": "The desk was locked because nobody was here."}}
    page.route("**/image/*/", lambda route: route.fulfill(status=401, json=locked))
    page.wait_for_function("async () => (await fetch('/image/none/')).status === 401")  # now requests meet it
    page.keyboard.press("Shift+End")
    expect(page.locator("[data-locked]")).to_be_visible()
    page.unroute("**/image/*/")
    page.locator("#desk-password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".strip-item").nth(7)).to_have_class(re.compile("is-seen"))


def test_a_case_whose_patient_is_withdrawn_under_the_readers_eyes(desk: Any, make_user: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=2, n_fields=8, navigation="forward_only")
    page.keyboard.press("1")
    saved(page)
    patient = made.session().cases.get(position=1).identity.study_case.patient
    patient_withdraw(actor=make_user("admin"), patient=patient, reason="asked for it")
    page.keyboard.press("Shift+End")
    expect(page.locator("[data-todo]")).to_contain_text("This case was withdrawn from the study.")
    expect(page.locator("[data-stages]")).to_be_hidden()
    expect(page.locator("[data-diagnosis=AML]")).to_be_hidden()
    assert axe_problems(page) == []
    page.keyboard.press("2")  # says nothing any more
    page.keyboard.press("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    expect(page.locator("[data-stages]")).to_be_visible()
    assert (draft(made)["diagnosis"], made.session().current) == ("ALL", 2)


def test_a_choice_between_two_answers_is_not_waved_away(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=1)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    other.keyboard.press("1")
    saved(other)
    settled(other)
    page.keyboard.press("2")
    expect(page.locator("[data-clash]")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    expect(page.locator("[data-clash]")).to_be_visible()
    page.get_by_role("button", name="Keep the one from there").click()
    expect(page.locator("[data-diagnosis=ALL]")).to_have_attribute("aria-pressed", "true")
    settled(page)
    assert draft(made)["diagnosis"] == "ALL"


@pytest.mark.parametrize("stays", ["theirs", "mine"])
def test_the_newest_answer_is_the_one_that_a_choice_keeps_or_drops(desk: Any, stays: str) -> None:  # noqa: F811
    """Two quick changes in a window that is behind: one meets the other window's answer, one waits behind it."""
    page, made = desk(n_cases=1)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    other.keyboard.press("1")
    saved(other)
    settled(other)
    on_its_way: list[Any] = []
    page.route("**/answer/", lambda route: on_its_way.append(route))
    page.keyboard.press("2")
    while not on_its_way:
        page.wait_for_timeout(20)
    page.keyboard.press("4")
    page.wait_for_function(f"() => {BOARD}.sync.queue.size === 2")
    on_its_way[0].continue_()
    expect(page.locator("[data-clash]")).to_be_visible()
    page.unroute("**/answer/")
    expect(page.locator("[data-clash-mine]")).to_contain_text("Chronic myeloid leukemia")
    page.locator(f"[data-clash-keep={stays}]").click()
    expect(page.locator("[data-saved]")).to_have_attribute("data-saved", "saved")
    kept = "ALL" if stays == "theirs" else "CML"
    expect(page.locator(f"[data-diagnosis={kept}]")).to_have_attribute("aria-pressed", "true")
    assert draft(made)["diagnosis"] == kept


def test_an_answer_that_came_after_the_last_day_waits_until_the_day_is_moved(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=1)
    page.context.set_offline(True)
    page.keyboard.press("3")
    expect(page.locator("[data-saved]")).to_contain_text("1 answer not yet on the server")
    session = made.session()
    ReadingSession.objects.filter(pk=session.pk).update(rules=session.rules | {"closes_on": "2020-01-01"})
    page.context.set_offline(False)
    expect(page.locator("[data-message]")).to_contain_text("Reading in this study ended on Wednesday 2020-01-01.")
    expect(page.locator("[data-message]")).to_contain_text("waits on this computer")
    expect(page.locator("[data-saved]")).to_have_text("1 answer not yet on the server")
    page.keyboard.press("2")  # nothing that is answered after it is lost either
    page.reload()
    expect(page.locator("[data-message]")).to_contain_text("waits on this computer")
    ReadingSession.objects.filter(pk=session.pk).update(rules=session.rules)
    page.reload()
    saved(page)
    expect(page.locator("[data-diagnosis=AML]")).to_have_attribute("aria-pressed", "true")
    assert draft(made)["diagnosis"] == "AML"


def test_an_answer_waits_for_its_reader_when_somebody_else_signs_in(desk: Any, browser_as: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=1)
    own = page.context.cookies()
    stranger = browser_as("pathologist")
    page.context.add_cookies(stranger.context.cookies())
    page.keyboard.press("5")
    expect(page.get_by_text("No study waits for you")).to_be_visible()  # the stranger's own list, and nothing else
    assert draft(made) == {}
    page.context.add_cookies(own)
    page.goto(f"/read/{made.session().token}/board/")
    expect(page.locator("[data-diagnosis=NO_LEUKEMIA]")).to_have_attribute("aria-pressed", "true")
    saved(page)
    settled(page)
    assert draft(made)["diagnosis"] == "NO_LEUKEMIA"


def test_a_window_that_stayed_open_after_the_seal_says_so(desk: Any) -> None:  # noqa: F811
    page, made = desk(n_cases=1, n_fields=1)
    page.keyboard.press("1")
    page.keyboard.press("Shift+Digit4")
    saved(page)
    settled(page)
    other = page.context.new_page()
    other.goto(f"/read/{made.session().token}/seal/")
    other.get_by_label("Your full name").fill("R. Reader")
    other.get_by_label(re.compile("^Your password")).fill(PASSWORD)
    other.get_by_label(re.compile("These are my own diagnoses")).check()
    other.get_by_role("button", name="Sign and seal").click()
    expect(other.get_by_text("is signed and sealed")).to_be_visible()
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="Reading", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing of it can be opened or changed any more")).to_be_visible()
    assert Reading.objects.get().diagnosis == "ALL"


def test_a_field_that_did_not_come_is_fetched_when_the_line_is_back(desk: Any) -> None:  # noqa: F811
    page, _ = desk(n_cases=1, n_fields=8)
    page.context.set_offline(True)
    page.keyboard.press("Shift+End")
    expect(page.locator("[data-message]")).to_contain_text("Field 8 could not be loaded")
    page.context.set_offline(False)
    expect(page.locator("[data-message]")).to_be_hidden()
    expect(page.locator(".strip-item").nth(7)).to_have_class(re.compile("is-seen"))
