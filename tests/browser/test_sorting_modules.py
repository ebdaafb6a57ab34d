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


def test_nobody_decides_as_somebody_else_until_the_owner_is_heard_of(run: Script) -> None:
    """Neither a lost network nor a busy server, nor a question that is left unanswered, lifts the bar."""
    failed, asked, doubted = run(
        OUTBOX
        + """
        const box = make();
        await box.open();
        const pump = box.pump.bind(box);
        box.pump = () => {};
        box.add([{ image: "a" }]);
        const busy = [[503, "E_BUSY"], [429, "E_SLOW"]];
        replies.decisions = [[401, "E_OTHER_PERSON"], "lost", ...busy, [401, "E_LOGIN"], "lost"];
        const failed = [];
        for (let n = 0; n < 7; n += 1) {
          await pump();
          failed.push([box.others, words(box)]);
        }

        const left = make(); // a conflict that was put off
        await left.open();
        replies.decisions = [[409, "E_STALE", { conflicts: [] }]];
        left.add([{ image: "a" }]);
        await until(() => left.state === "conflict");
        left.heard({ status: 401, code: "E_OTHER_PERSON" });
        const asked = [[left.state, left.others, words(left)]];
        left.heard({ status: 0, code: "E_NETWORK" });
        asked.push(left.others);
        left.heard();
        asked.push(left.others, left.state);

        const { Door } = await import("/js/sorting_door.js");
        const said = [], deeds = [];
        const own = make();
        const silent = async () => {}; // the server does not say in time
        const door = new Door(own, () => silent(), (line) => said.push(line));
        const key = async (name) => {
          door.whenKnown(() => "", () => { if (door.lets()) deeds.push(name); });
          await door.asking;
          await 0;
        };
        door.ask();
        await key("nobody signed in meanwhile");
        document.cookie = "csrftoken=two";
        await key("somebody did");
        own.heard(null, "two");
        await key("it was the owner");
        return [failed, asked, [deeds, said]];
        """
    )
    waits = "1 not yet on the server, kept in this browser"
    others = ["here", f"Somebody else is signed in now: {waits}"]
    assert failed == [
        *[others] * 4,
        ["gone", f"Signed out: {waits}"],
        ["gone", f"Offline: {waits}"],
        ["", "All saved T"],
    ]
    assert asked == [["conflict", *others], "here", "", "conflict"]
    assert doubted == [
        ["nobody signed in meanwhile", "it was the owner"],
        ["Somebody signed in in this browser, and the server does not say who. Nothing was decided; do it again."],
    ]


def test_a_storage_that_fails_stops_nothing_and_is_filled_again(run: Script) -> None:
    """The browser closes it when its data are cleared; a full disk refuses to write."""
    said = run(
        OUTBOX
        + """
        const box = make({ owner: String(Math.random()), shelf: undefined });
        await box.open();
        const pump = box.pump.bind(box);
        box.pump = () => {};
        box.state = "offline";
        const said = [];
        const say = () => said.push(words(box));
        box.add([{ image: "a", key: "A" }, { image: "b", key: "B" }]);
        await until(() => !box.nUnkept);
        say();
        box.shelf.database.close();
        await box.settle("a", { keepTheirs: true, key: "T" });
        say();
        const { open } = IDBFactory.prototype;
        let refusals = 2; // while it is being emptied
        indexedDB.open = (...rest) => {
          if (refusals-- > 0) throw new Error("not now");
          return open.apply(indexedDB, rest);
        };
        box.shelf.database.dispatchEvent(new Event("close"));
        say();
        await until(() => words(box).includes("this browser"));
        delete indexedDB.open;
        say();
        said.push((await box.shelf.entries(box.owner)).map(({ decisions }) => decisions.map(({ key }) => key).join()));
        box.shelf.database.close();
        await pump();
        said.push(box.state);
        say();
        box.add([{ image: "c", key: "C" }]);
        await box.discard();
        said.push(box.nPending);
        const blind = make({ shelf: { ...shelf, entries: async () => null } });
        await blind.open();
        return [...said, blind.unread];
        """
    )
    waits = "not yet on the server, kept in this"
    kept = [f"Offline: 2 {waits} browser", *[f"Offline: 1 {waits} window only"] * 2, f"Offline: 1 {waits} browser"]
    assert said == [*kept, ["B"], "saved", "All saved T", 0, True]


def test_what_waits_stands_only_on_what_it_followed(run: Script) -> None:
    """Their reply was lost and the image was decided again elsewhere: the server's is the newer one."""
    stand = run("""
        const { SortingModel } = await import("/js/sorting_model.js");
        const rows = [["fresh", "", null], ["newer", "CLL", "K9"], ["half", "AML", "K1"], ["next", "AML", "K0"]];
        const model = new SortingModel(rows.map(([id, label, key]) => [id, 1, 1, label && "label", label, "", key]));
        const one = (image, key, seen, label) => ({ image, key, seen, verdict: "label", label, reason: "" });
        const two = (id) => [one(id, "K1", null, "AML"), one(id, "K2", "K1", "ALL")];
        model.standOn([...["fresh", "newer", "half", "gone"].flatMap(two), one("next", "K1", "K0", "CML")]);
        return model.items.map(({ label, key }) => [label, key]);
    """)
    assert stand == [["ALL", "K2"], ["CLL", "K9"], ["ALL", "K2"], ["CML", "K1"]]


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
