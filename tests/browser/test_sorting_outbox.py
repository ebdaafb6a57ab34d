"""The module that keeps decisions until the server has them, on its own."""

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
