"""The modules of the sorting board, each alone in the browser that runs them: no server, no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.sorting_page import SITE, opened

pytestmark = pytest.mark.browser
Script = Callable[..., Any]
OUTBOX = """
  const { Outbox, badgeWords } = await import("/js/sorting_outbox.js");
  const kept = new Map();
  const shelf = {
    put: async (entry) => { kept.set(entry.id, entry); }, remove: async (id) => { kept.delete(id); },
    open: async () => true, entries: async () => [],
  };
  const make = (more = {}) => new Outbox({ url: "/decisions/", owner: "x", shelf, ...more });
  const until = async (isSo) => {
    for (let n = 0; !isSo(); n += 1) {
      if (n > 4000) throw new Error(`never: ${isSo}`);
      await new Promise((resolve) => setTimeout(resolve));
    }
  };
  const words = (box) => badgeWords(box).replace(/[\\d:]{8} local time/, "T");
"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Page]:
    yield from opened(browser)


@pytest.fixture
def run(page: Any) -> Script:
    """``run("statements; return value;", argument)`` in the page; the argument is called ``given``."""
    if not page.url.endswith("/page"):
        page.goto(f"{SITE}/page")
    page.evaluate(
        "() => { asked = []; replies = {}; fetch = server; delete document.hidden; document.cookie = 'csrftoken=one'; }"
    )
    return lambda script, given=None: page.evaluate(f"async (given) => {{ {script} }}", given)


def test_the_badge_waits_for_the_browser_to_keep_a_decision(run: Script) -> None:
    """Until its storage has the decision, a closed tab would lose it, and the badge says so."""
    said = run(
        OUTBOX
        + """
        let keep;
        const said = [];
        const put = () => new Promise((resolve) => { keep = resolve; });
        const box = make({ shelf: { ...shelf, put }, onState: (changed) => said.push(words(changed)) });
        await box.open();
        box.pump = () => {};
        box.state = "offline";
        box.add([{ image: "a" }]);
        keep();
        await new Promise((resolve) => setTimeout(resolve));
        return said;
        """
    )
    assert said == [
        "Offline: 1 not yet on the server, kept in this window only",
        "Offline: 1 not yet on the server, kept in this browser",
    ]


def test_this_windows_choice_in_a_conflict_is_its_last_decision_alone(run: Script) -> None:
    """The server may know the earlier one (its answer was lost): naming it as seen again would be refused for ever."""
    for entries in (1, 2):
        left, shelved = run(
            OUTBOX
            + """
            const box = make();
            await box.open();
            box.pump = () => {};
            const mine = [{ image: "a", key: "K1", seen: null }, { image: "b", key: "B", seen: null },
                          { image: "a", key: "K2", seen: "K1" }];
            if (given === 1) box.add(mine);
            else for (const one of mine) box.add([one]);
            await box.settle("a", { keepTheirs: false, key: "K3" });
            return [box.pending, [...kept.values()].flatMap(({ decisions }) => decisions)];
            """,
            entries,
        )
        wanted = [{"image": "b", "key": "B", "seen": None}, {"image": "a", "key": "K2", "seen": "K3"}]
        assert left == wanted
        assert shelved == wanted


def test_what_the_owner_may_not_do_now_is_said_and_sent_again(run: Script) -> None:
    """A missing second step or another role is no other person; what waits goes when it is mended."""
    said = run(
        OUTBOX
        + """
        let refused = 0;
        const box = make({ onRefused: () => { refused += 1; } });
        await box.open();
        const pump = box.pump.bind(box);
        box.pump = () => {}; // not by itself
        box.add([{ image: "a" }]);
        const may = { message: "Your role needs two-step sign-in." };
        replies.decisions = [[403, "E_MFA", may], [401, "E_LOGIN"], [401, "E_OTHER_PERSON"]];
        const said = [];
        for (let n = 0; n < 4; n += 1) {
          await pump();
          said.push([box.state, box.isOthers, words(box)]);
        }
        return [...said, refused];
        """
    )
    waits = "1 not yet on the server, kept in this browser"
    assert said == [
        ["forbidden", False, f"Not allowed now: {waits}. Your role needs two-step sign-in."],
        ["signed-out", False, f"Signed out: {waits}"],
        ["signed-out", True, f"Somebody else is signed in now: {waits}"],
        ["saved", False, "All saved T"],
        0,
    ]


def test_the_past_is_learned_once_and_put_under_what_was_done_meanwhile(run: Script) -> None:
    asked, undone, redo, away, said = run("""
        const { History } = await import("/js/sorting_history.js");
        const { ActiveClock } = await import("/js/sorting_clock.js");
        const { SortingModel } = await import("/js/sorting_model.js");
        let asked = 0, answer;
        const rows = [["K1", "a", "label", "AML", "", "key"], ["K2", "b", "label", "ALL", "", "key"],
                      ["K3", "c", "label", "CLL", "", "key"]];
        const load = () => { asked += 1; return new Promise((resolve) => { answer = () => resolve(rows); }); };
        const history = new History(false, load);
        const waiting = [history.recall(), history.recall(), history.recall()];
        history.said("K3"); // this window decided while it waited, and the server's list has it already
        history.push([{ id: "c", before: { verdict: "cleared" }, after: { verdict: "label" } }]);
        const { Board } = await import("/js/sorting_board.js");
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
    """)
    assert (asked, undone, redo) == (1, ["c", "b", "a", None], True)
    assert away == [2500, 1000]
    assert said == ["You decided something meanwhile. Nothing was undone; undo again to take that back."]


def test_digits_go_by_their_place_and_letters_of_other_scripts_with_ctrl_too(run: Script) -> None:
    ran, own = run("""
        const { boardKeymap } = await import("/js/sorting_keys.js");
        const names = ["AML", "ALL", "APML", "CML", "CLL", "REACTIVE"];
        const labels = names.map((name, at) => ({ name, title: name, key: String(at + 1) }));
        const board = (own) => {
          const ran = [];
          const keymap = boardKeymap(labels, own);
          for (const { action } of keymap.entries) keymap.on(action, () => ran.push(action));
          return [ran, (key, code, more) => keymap.handle(new KeyboardEvent("keydown", { key, code, ...more }))];
        };
        const [ran, press] = board({});
        press("&", "Digit1"); press("-", "Digit6"); press("à", "Digit0"); // French
        press("1", "Digit1", { shiftKey: true });
        press("+", "Digit1"); press("=", "Minus"); // Czech
        press("_", "Digit8"); // nothing has the 8
        const ctrlKey = true; // Russian
        press("я", "KeyZ", { ctrlKey }); press("Я", "KeyZ", { ctrlKey, shiftKey: true });
        const [own, again] = board({ "label:AML": ["&"] }); // chosen before digits went by their place
        again("&", "Digit1");
        return [ran, own];
    """)
    assert ran == ["label:AML", "label:REACTIVE", "cannot", "label:AML", "label:AML", "zoom-in", "undo", "redo"]
    assert own == ["label:AML"]
