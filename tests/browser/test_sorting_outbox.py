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
