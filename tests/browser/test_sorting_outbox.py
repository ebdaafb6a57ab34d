"""How decisions of the sorting board reach the server, whatever happens to line, tab and sign-in; modules alone."""

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


def test_the_badge_waits_for_the_browser_to_keep_a_decision(browser_as: Callable[..., Page]) -> None:
    """Until its storage has the decision, a closed tab would lose it, and the badge says so."""
    page = browser_as("pathologist")
    page.goto("/")
    said = page.evaluate("""async () => {
        const { Outbox, badgeWords } = await import("/static/leukoweb/js/sorting_outbox.js");
        let kept;
        const put = () => new Promise((resolve) => { kept = resolve; });
        const shelf = { put, open: async () => true, entries: async () => [] };
        const words = [];
        const onState = (box) => words.push(badgeWords(box));
        const outbox = new Outbox({ url: "/nowhere/", owner: "x", shelf, onState });
        await outbox.open();
        outbox.pump = () => {};
        outbox.state = "offline";
        outbox.add([{ image: "a" }]);
        kept();
        await new Promise((resolve) => setTimeout(resolve));
        return words;
    }""")
    assert said == [
        "Offline: 1 not yet on the server, kept in this window only",
        "Offline: 1 not yet on the server, kept in this browser",
    ]


def test_this_windows_choice_in_a_conflict_is_its_last_decision_alone(browser_as: Callable[..., Page]) -> None:
    """The server may know the earlier one (its answer was lost): naming it as seen again would be refused for ever."""
    page = browser_as("pathologist")
    page.goto("/")
    for entries in (1, 2):
        left, shelved = page.evaluate(
            """async (entries) => {
            const { Outbox } = await import("/static/leukoweb/js/sorting_outbox.js");
            const kept = new Map();
            const shelf = {
                put: async (entry) => kept.set(entry.id, entry), remove: async (id) => kept.delete(id),
                open: async () => true, entries: async () => [],
            };
            const outbox = new Outbox({ url: "/nowhere/", owner: "x", shelf });
            await outbox.open();
            outbox.pump = () => {};
            const mine = [{ image: "a", key: "K1", seen: null }, { image: "b", key: "B", seen: null },
                          { image: "a", key: "K2", seen: "K1" }];
            if (entries === 1) outbox.add(mine);
            else for (const one of mine) outbox.add([one]);
            await outbox.settle("a", { keepTheirs: false, key: "K3" });
            return [outbox.pending, [...kept.values()].flatMap(({ decisions }) => decisions)];
        }""",
            entries,
        )
        wanted = [{"image": "b", "key": "B", "seen": None}, {"image": "a", "key": "K2", "seen": "K3"}]
        assert left == wanted
        assert shelved == wanted


def test_what_the_owner_may_not_do_now_is_said_and_sent_again(browser_as: Callable[..., Page]) -> None:
    """A missing second step or another role is no other person; what waits goes when it is mended."""
    page = browser_as("pathologist")
    page.goto("/")
    said = page.evaluate("""async () => {
        const { Outbox, badgeWords } = await import("/static/leukoweb/js/sorting_outbox.js");
        const error = (status, code, message) => [status, { error: { code, message } }];
        const replies = [error(403, "E_MFA", "Your role needs two-step sign-in."), error(401, "E_LOGIN", ""),
                         error(401, "E_OTHER_PERSON", ""), [200, { n_new: 1, gone: [] }]];
        window.fetch = async () => {
            const [status, body] = replies.shift();
            return new Response(JSON.stringify(body), { status });
        };
        const shelf = { open: async () => true, entries: async () => [], put: async () => {}, remove: async () => {} };
        let refused = 0;
        const outbox = new Outbox({ url: "/nowhere/", owner: "x", shelf, onRefused: () => { refused += 1; } });
        await outbox.open();
        const pump = outbox.pump.bind(outbox);
        outbox.pump = () => {}; // not by itself
        outbox.add([{ image: "a" }]);
        const words = [];
        while (replies.length) {
            await pump();
            words.push([outbox.state, outbox.isOthers, badgeWords(outbox).replace(/[\\d:]{8} local time/, "T")]);
        }
        return [...words, refused];
    }""")
    waits = "1 not yet on the server, kept in this browser"
    assert said == [
        ["forbidden", False, f"Not allowed now: {waits}. Your role needs two-step sign-in."],
        ["signed-out", False, f"Signed out: {waits}"],
        ["signed-out", True, f"Somebody else is signed in now: {waits}"],
        ["saved", False, "All saved T"],
        0,
    ]


def test_the_past_is_learned_once_and_put_under_what_was_done_meanwhile(browser_as: Callable[..., Page]) -> None:
    page = browser_as("pathologist")
    page.goto("/")
    asked, undone, redo, away, said = page.evaluate("""async () => {
        const { History } = await import("/static/leukoweb/js/sorting_history.js");
        const { ActiveClock } = await import("/static/leukoweb/js/sorting_clock.js");
        const { SortingModel } = await import("/static/leukoweb/js/sorting_model.js");
        let asked = 0, answer;
        const rows = [["K1", "a", "label", "AML", "", "key"], ["K2", "b", "label", "ALL", "", "key"],
                      ["K3", "c", "label", "CLL", "", "key"]];
        const load = () => { asked += 1; return new Promise((resolve) => { answer = () => resolve(rows); }); };
        const history = new History(false, load);
        const waiting = [history.recall(), history.recall(), history.recall()];
        history.said("K3"); // this window decided while it waited, and the server's list has it already
        history.push([{ id: "c", before: { verdict: "cleared" }, after: { verdict: "label" } }]);
        const { Board } = await import("/static/leukoweb/js/sorting_board.js");
        const said = [];
        const early = { // an undo that was pressed before that decision
            history: { needsPast: true, recall: () => history.recall() }, outbox: { nPending: 0 },
            mayDecide: () => true, panel: { announce: (words) => said.push(words) },
        };
        const waited = Board.prototype.undo.call(early);
        answer();
        await Promise.all([...waiting, waited]);
        const undone = [1, 2, 3, 4].map(() => history.undo()?.[0].id ?? null);

        // Time in another tab is nobody's look; a key that changes nothing loses no time.
        const real = performance.now;
        let now = 1000, hidden = false;
        performance.now = () => now;
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        const clock = new ActiveClock();
        const flip = (to) => { hidden = to; document.dispatchEvent(new Event("visibilitychange")); };
        now += 2000; flip(true); now += 30000; flip(false); now += 500;
        const away = clock.lap();
        performance.now = real;
        const model = new SortingModel([["a", 1, 1, "label", "AML", "", "K", []], ["b", 1, 1, "", "", "", null, []]]);
        model.decide([{ id: "a", verdict: "label", label: "AML" }], { origin: "key", ms: 700 });
        model.look(200);
        const made = model.decide([{ id: "a", verdict: "label", label: "ALL" }], { origin: "key", ms: 100 });
        return [asked, undone, history.canRedo, [away, made.decisions[0].shown_ms], said];
    }""")
    assert (asked, undone, redo) == (1, ["c", "b", "a", None], True)
    assert away == [2500, 1000]
    assert said == ["You decided something meanwhile. Nothing was undone; undo again to take that back."]


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
