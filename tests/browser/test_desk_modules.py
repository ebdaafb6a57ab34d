"""Modules of the desks, called in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]


def test_the_field_of_a_closed_dialog_takes_no_key(browser_as: OpenPage) -> None:
    """It keeps the focus until the next frame, late on a busy machine: a key right after unlocking would be lost."""
    page = browser_as("admin")
    page.goto("/users/")
    found = page.evaluate(
        """import('/static/leukoweb/js/keymap.js').then(({Keymap}) => {
            const ran = [];
            const keymap = new Keymap([{action: "next", keys: ["f"], label: "", group: ""}]);
            keymap.on("next", () => ran.push("next")).attach();
            const dialog = document.body.appendChild(document.createElement("dialog"));
            const field = dialog.appendChild(document.createElement("input"));
            const key = () => new KeyboardEvent("keydown", {key: "f", bubbles: true});
            const press = () => document.activeElement.dispatchEvent(key());
            dialog.showModal();
            field.focus();
            press();
            const open = ran.length;
            dialog.close();
            const kept = document.activeElement === field;
            press();
            return {open, kept, closed: ran.length};
        })"""
    )
    assert found == {"open": 0, "kept": True, "closed": 1}


def test_a_line_that_swallows_what_is_sent_counts_as_cut(browser_as: OpenPage) -> None:
    page = browser_as("admin")
    page.goto("/users/")
    found = page.evaluate(
        """async () => {
            const { ask } = await import("/static/leukoweb/js/reading_api.js");
            const { FieldImages } = await import("/static/leukoweb/js/reading_fields.js");
            const asked = [];
            AbortSignal.timeout = (ms) => { asked.push(ms); return AbortSignal.abort(); };
            const passing = await ask("/jobs/", {}).catch((error) => error.passing);
            const fields = new FieldImages(() => "/jobs/");
            const first = await fields.get("a").catch((error) => error.name);
            await fields.get("a").catch(() => undefined);
            return { passing, first, asked };
        }"""
    )
    assert found == {"passing": True, "first": "AbortError", "asked": [20_000, 60_000, 60_000]}, "asked for again"


def test_waiting_for_pixels_or_the_next_case_is_not_reading(browser_as: OpenPage) -> None:
    page = browser_as("admin")
    page.goto("/users/")
    found = page.evaluate(
        """async () => {
            const { ReadingBoard } = await import("/static/leukoweb/js/reading_board.js");
            const board = Object.create(ReadingBoard.prototype);
            const ticked = [];
            Object.assign(board, { activeMs: 0, stage: { ready: false, tick: (ms) => ticked.push(ms) } });
            board.tick(1);
            board.case = { case: "a" };
            board.tick(10);
            board.stage.ready = true;
            board.tick(100);
            board.going = true;
            board.tick(1000);
            return [board.activeMs, ticked];
        }"""
    )
    assert found == [100, [100]]
