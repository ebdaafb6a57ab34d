"""Modules of the sorting board on their own: the outbox, the memory for undo, the clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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


def test_the_past_is_learned_once_and_put_under_what_was_done_meanwhile(browser_as: Callable[..., Page]) -> None:
    page = browser_as("pathologist")
    page.goto("/")
    asked, undone, redo, away = page.evaluate("""async () => {
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
        answer();
        await Promise.all(waiting);
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
        return [asked, undone, history.canRedo, [away, made.decisions[0].shown_ms]];
    }""")
    assert (asked, undone, redo) == (1, ["c", "b", "a", None], True)
    assert away == [2500, 1000]
