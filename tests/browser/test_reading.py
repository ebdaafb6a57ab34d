"""The reading board as a reader meets it: keyboard only, offline, locked, two windows, phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from reader_study.models import DraftReading, Reading, SessionCase, SessionImage
from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone, axe_problems
from tests.reader_study.factories import PASSWORD, make_study

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
SET_THEME = """([theme, surround]) => {
    document.documentElement.dataset.bsTheme = theme;
    if (surround) document.documentElement.dataset.surround = surround;
    else delete document.documentElement.dataset.surround;
}"""


@pytest.fixture
def desk(browser_as: OpenPage) -> Callable[..., tuple[Page, Any]]:
    """``desk(n_cases=2)`` -> (page on the board of a session that has begun, study)."""

    def open_desk(*, consent: bool = True, context: dict[str, Any] | None = None, **study: Any) -> tuple[Page, Any]:
        page = browser_as("pathologist", **(context or {}))
        made = make_study(users=[page.user], **({"n_cases": 2, "n_fields": 2} | study))
        page.goto(f"/read/{made.session().token}/")
        if consent:
            page.get_by_label(re.compile("I have read this")).check()
            page.get_by_role("button", name="Begin").click()
            expect(page.locator("[data-title]")).to_have_text(f"Case 1 of {made.session().cases.count()}")
            expect(page.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
        return page, made

    return open_desk


def saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text(re.compile("^Saved"))
    expect(page.locator("[data-action='case-next']")).to_be_visible()


def draft(made: Any, position: int = 1) -> dict[str, Any]:
    return DraftReading.objects.get(case__session=made.session(), case__position=position).answer


def test_a_session_without_a_mouse(desk: Any) -> None:
    page, made = desk(n_cases=3, n_fields=2)
    for n, (diagnosis, sure) in enumerate([("2", 4), ("5", 5), ("1", 1)], start=1):
        expect(page.locator("[data-title]")).to_have_text(f"Case {n} of 3")
        expect(page).to_have_title(f"Case {n} of 3")
        expect(page.locator("[data-field-position]")).to_have_text("Field 1 of 2")
        expect(page.locator("[data-answer] .desk-choice[aria-pressed=true]")).to_have_count(0)
        expect(page.locator(".strip-item.is-seen")).to_have_count(1)  # a field left at once does not count as seen
        page.keyboard.press("f")
        expect(page.locator(".strip-item.is-seen")).to_have_count(2)
        page.keyboard.press("m")
        page.keyboard.press(diagnosis)
        page.keyboard.press(f"Shift+Digit{sure}")
        expect(page.locator("[data-todo]")).to_have_text("This case is finished.")
        saved(page)
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sign session 1")).to_be_visible()
    page.get_by_label("Your full name").fill("R. Reader")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Session 1 is signed and sealed")).to_be_visible()
    readings = list(Reading.objects.order_by("position").values_list("diagnosis", "confidence", "n_viewed"))
    assert readings == [("AML", 4, 2), ("NO_LEUKEMIA", 5, 2), ("ALL", 1, 2)]
    for reading in Reading.objects.all():
        case = SessionCase.objects.get(session=reading.session, position=reading.position)
        assert reading.key_images == [case.images.get(position=2).capture_position]
        assert 0 < reading.active_ms < 120_000
        assert reading.coverage is not None
    assert made.session().state == "sealed"


def test_answers_come_back_on_another_device(desk: Any) -> None:
    page, made = desk()
    page.keyboard.press("3")
    page.locator("[data-comment]").fill("many blasts")
    page.get_by_label(re.compile("I recognised this case")).check()
    page.get_by_label("What was it?").fill("the same scratch")
    page.locator("[data-adjust=brightness]").evaluate("s => { s.value = 130; s.dispatchEvent(new Event('input')); }")
    saved(page)
    page.wait_for_function("() => document.querySelector('[data-desk]').board.sync.queue.size === 0")
    found = draft(made)
    assert (found["diagnosis"], found["comment"], found["recognised"]) == ("CLL", "many blasts", True)
    assert found["recognised_note"] == "the same scratch"
    assert found["display"]["brightness"] == 1.3
    page.reload()
    expect(page.locator("[data-diagnosis=CLL]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-comment]")).to_have_value("many blasts")
    expect(page.locator("[data-adjust-badge]")).to_contain_text("Brightness 130 %")


def test_answers_wait_while_the_line_is_down_and_the_badge_says_so(desk: Any) -> None:
    page, made = desk(n_cases=1)
    page.context.set_offline(True)
    page.keyboard.press("1")
    expect(page.locator("[data-saved]")).to_contain_text("1 answer not yet on the server")
    page.keyboard.press("2")
    page.keyboard.press("Shift+Digit3")
    expect(page.locator("[data-saved]")).to_contain_text("not yet on the server")
    assert draft(made) == {}
    page.context.set_offline(False)
    saved(page)
    found = draft(made)
    assert (found["diagnosis"], found["confidence"]) == ("AML", 3)


def test_answers_survive_a_closed_page_that_was_offline(desk: Any) -> None:
    page, made = desk(n_cases=1)
    page.route("**/answer/", lambda route: route.abort())
    page.keyboard.press("4")
    expect(page.locator("[data-saved]")).to_contain_text("1 answer not yet on the server")
    page.wait_for_timeout(300)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-diagnosis=CML]")).to_have_attribute("aria-pressed", "true")
    saved(other)
    assert draft(made)["diagnosis"] == "CML"


def test_two_windows_do_not_overwrite_each_other(desk: Any) -> None:
    page, made = desk(n_cases=1)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    other.keyboard.press("1")
    saved(other)
    page.keyboard.press("2")
    clash = page.locator("[data-clash]")
    expect(clash).to_be_visible()
    expect(clash).to_contain_text("Acute lymphoblastic leukemia")
    expect(clash).to_contain_text("Case 1 was answered elsewhere")
    for key in ("Space", "Enter"):  # on its way for something else: it chooses nothing
        page.keyboard.press(key)
    expect(clash).to_be_visible()
    assert draft(made)["diagnosis"] == "ALL"
    page.get_by_role("button", name="Keep the one from here").click()
    saved(page)
    page.wait_for_function("() => document.querySelector('[data-desk]').board.sync.queue.size === 0")
    assert draft(made)["diagnosis"] == "AML"


def test_the_desk_unlocks_in_place(desk: Any) -> None:
    page, made = desk(n_cases=1)
    page.evaluate("void document.querySelector('[data-desk]').board.locked({code: 'E_LOCKED'})")
    expect(page.locator("[data-locked]")).to_be_visible()
    expect(page.locator("[data-stages]")).to_be_hidden()
    page.locator("#desk-password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("[data-unlock-error]")).to_contain_text("not right")
    page.locator("#desk-password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("[data-locked]")).to_be_hidden()
    page.keyboard.press("1")
    saved(page)
    assert draft(made)["diagnosis"] == "ALL"


def test_a_lost_sign_in_is_mended_without_losing_the_answer(desk: Any) -> None:
    page, made = desk(n_cases=1)
    cookies = page.context.cookies()
    page.context.clear_cookies(name="sessionid")
    page.keyboard.press("5")
    expect(page.locator("[data-signin]")).to_be_visible()
    page.keyboard.press("Escape")  # opens nothing: the server is asked
    expect(page.locator("[data-signin-error]")).to_have_text("You are not signed in yet.")
    expect(page.locator("[data-stages]")).to_be_hidden()
    page.context.add_cookies(cookies)
    page.get_by_role("button", name="I am signed in again").click()
    saved(page)
    assert draft(made)["diagnosis"] == "NO_LEUKEMIA"


def test_compare_key_fields_and_the_time_that_is_paused(desk: Any) -> None:
    page, _ = desk(n_fields=3)
    page.keyboard.press("v")  # never the same field on both sides: this one is held, the next comes up
    expect(page.locator("[data-held-name]")).to_have_text("Held: field 1")
    expect(page.locator("[data-field-position]")).to_have_text("Field 2 of 3")
    page.keyboard.press("+")
    page.wait_for_timeout(400)
    views = page.evaluate(
        "(() => { const s = document.querySelector('[data-desk]').board.stage;"
        " return [s.core.getView().width, s.other.getView().width]; })()"
    )
    assert views[0] == pytest.approx(views[1], rel=0.05)
    page.locator("[data-held]").hover()
    page.mouse.wheel(0, 400)  # whichever pane is moved takes the other along
    page.wait_for_timeout(600)
    wider = page.evaluate(
        "(() => { const s = document.querySelector('[data-desk]').board.stage;"
        " return [s.core.getView().width, s.other.getView().width]; })()"
    )
    assert wider[0] > views[0] * 1.1
    assert wider[0] == pytest.approx(wider[1], rel=0.05)
    page.keyboard.press("v")
    expect(page.locator("[data-pane=held]")).to_be_hidden()
    page.keyboard.press("m")
    page.keyboard.press("f")
    page.keyboard.press("v")  # with a key field, that one is held
    expect(page.locator("[data-held-name]")).to_have_text("Held: field 2")
    expect(page.locator("[data-field-position]")).to_have_text("Field 3 of 3")
    page.keyboard.press("v")
    page.keyboard.press("p")
    expect(page.locator("[data-paused]")).to_be_visible()
    expect(page.locator("[data-stages]")).to_be_hidden()
    before = page.evaluate("document.querySelector('[data-desk]').board.activeMs")
    page.wait_for_timeout(700)
    assert page.evaluate("document.querySelector('[data-desk]').board.activeMs") == before
    page.keyboard.press("Enter")
    expect(page.locator("[data-stages]")).to_be_visible()
    page.keyboard.press("v")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    expect(compare).to_have_attribute("aria-pressed", "false")


def test_forward_only_waits_until_the_case_is_finished(desk: Any) -> None:
    page, made = desk(navigation="forward_only", n_fields=1)
    page.keyboard.press("Enter")
    expect(page.locator("[data-todo]")).to_have_text(re.compile("Still open: a diagnosis, how sure you are"))
    page.route("**/seen/", lambda route: route.fulfill(status=503, json={"error": {"code": "E", "message": "Busy."}}))
    page.keyboard.press("1")
    page.keyboard.press("Shift+Digit2")
    page.evaluate("document.querySelector('[data-desk]').board.tick(50)")
    page.keyboard.press("Enter")
    expect(page.locator("[data-todo]")).to_contain_text("What you looked at is not on the server yet: Busy.")
    page.unroute("**/seen/")
    page.keyboard.press("Enter")
    expect(page.locator("[data-title]")).to_have_text("Case 2 of 2")
    expect(page.get_by_role("button", name="Case before")).to_have_count(0)
    assert made.session().current == 2


def test_nothing_about_the_case_is_in_the_page(desk: Any) -> None:
    page, made = desk(n_cases=2)
    known = {str(case.patient.code) for case in made.cases} | {case.code for case in made.cases}
    known |= set(SessionImage.objects.values_list("content_sha256", flat=True))
    html = page.content()
    assert not [word for word in known if word in html]
    assert ".png" not in html


def test_pages_are_accessible_and_fit_a_phone(desk: Any) -> None:
    page, made = desk(consent=False, sessions=["blinded", "blinded"])
    for path in ("/read/", f"/read/{made.session().token}/", f"/read/{made.session(0, 2).token}/", "/read/unlock/"):
        page.goto(path)
        assert_accessible_in_every_theme(page)
        assert_fits_a_phone(page)


def test_the_board_is_accessible_and_fits_a_phone(desk: Any) -> None:
    page, made = desk()
    page.keyboard.press("1")
    page.emulate_media(reduced_motion="reduce")
    assert axe_problems(page) == []
    for theme, surround in (("dark", ""), ("dark", "neutral"), ("light", "")):  # the board has no menu of its own
        page.evaluate(SET_THEME, [theme, surround])
        assert axe_problems(page, runOnly=["color-contrast"]) == [], (theme, surround)
    assert_fits_a_phone(page)
    page.goto(f"/read/{made.session().token}/seal/")
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_signing_out_takes_the_queue_away(desk: Any) -> None:
    page, _ = desk(n_cases=1)
    page.route("**/answer/", lambda route: route.abort())
    page.keyboard.press("4")
    expect(page.locator("[data-saved]")).to_contain_text("1 answer not yet on the server")
    page.wait_for_timeout(300)
    other = page.context.new_page()
    other.goto("/read/")
    count = (
        "new Promise(done => { const r = indexedDB.open('leukoweb-reading', 1);"
        " r.onupgradeneeded = () => done(0);"
        " r.onsuccess = () => { const q = r.result.transaction('queue').objectStore('queue').count();"
        " q.onsuccess = () => { r.result.close(); done(q.result); }; }; })"
    )
    assert other.evaluate(count) == 1
    page.close()
    other.locator("form[action$='logout/']").evaluate("form => form.submit()")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    assert other.evaluate(count) == 0
