"""The sorting board without a server: real template, style and modules; what answers is a script in the page.

A board opens in a moment and needs no database, so what keys, mouse and dialogs do is tested here.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.template import Context
from django.template.loader import get_template
from django.template.loader_tags import BlockNode
from playwright.sync_api import Page, Route, expect

from tests.browser.sorting_support import field_jpeg

SITE = "http://board.example"
STATIC = Path(__file__).parents[2] / "leukoweb/static/leukoweb"
PLACEHOLDER = "00000000-0000-4000-8000-000000000000"
STYLES = (
    "vendor/bootstrap/bootstrap.min",
    *(f"css/{name}" for name in ("tokens", "base", "layout", "components", "viewer", "sorting")),
)
KEYS = [("AML", "1"), ("ALL", "2"), ("APML", "3"), ("CML", "4"), ("CLL", "5"), ("REACTIVE", "6"), ("NO_LEUKEMIA", "7")]

# A server that answers as told, one reply after the other; without one, well. "lost": no reply comes.
SERVER = """
  window.asked = [];
  window.replies = {};
  window.rows = [];
  const well = {
    queue: () => ({ items: rows, position: 1, preferences: {} }), place: () => ({}), history: () => ({ decisions: [] }),
    decisions: ({ decisions }) => ({ n_new: decisions.length, gone: [] }),
  };
  window.server = window.fetch = async (url, { method, body } = {}) => {
    const what = /(\\w+)\\/$/.exec(String(url))[1];
    const sent = JSON.parse(body ?? "{}");
    asked.push([what, sent]);
    const reply = await (replies[what] ?? []).shift();
    if (reply === "lost") throw new TypeError("Failed to fetch");
    if (!reply) return new Response(JSON.stringify(well[what](sent)), { status: 200 });
    const [status, code, more] = reply;
    return new Response(JSON.stringify({ error: { code, message: code, ...more } }), { status });
  };
"""


def board_html() -> str:
    """The content of the board's page as the view renders it."""
    labels = [
        {"name": name, "code": name[:4], "title": name.title(), "colour": "#888888", "key": key} for name, key in KEYS
    ]
    template = get_template("cases/sorting_board.html").template
    block = next(node for node in template.nodelist.get_nodes_by_type(BlockNode) if node.name == "content")
    task = SimpleNamespace(
        name="First sorting", public_id=uuid.UUID(PLACEHOLDER), adjudication="blind", instructions="Look."
    )
    reasons = [("blur", "Blurred"), ("stain", "Stain"), ("other", "Another")]
    seen = {"adjudicates": False, "reasons": reasons, "placeholder": PLACEHOLDER, "owner": "me"}
    context = Context({"task": task, "labels": labels, **seen})
    with context.bind_template(template):
        return block.render(context)


def serve(page: Page) -> None:
    """``SITE/page`` is empty, ``SITE/board`` has the board (see ``open_board``); both have the server."""
    styles = "".join(f'<link rel="stylesheet" href="/{name}.css">' for name in STYLES)
    token = "<meta charset='utf-8'><input name='csrfmiddlewaretoken' type='hidden'>"
    pages = {
        "page": f"<!doctype html><title>Modules</title>{token}",
        "board": f"<!doctype html><html lang='en' data-bs-theme='light'><title>Board</title>{styles}{token}"
        f"<main class='main-full'>{board_html()}</main>"
        "<script src='/vendor/openseadragon/openseadragon.min.js'></script>",
    }
    picture = field_jpeg(1)

    def answer(route: Route) -> None:
        path = route.request.url.split("/", 3)[3]
        if "/images/" in route.request.url:
            route.fulfill(body=picture, content_type="image/jpeg")
        elif path in pages:
            route.fulfill(body=pages[path], content_type="text/html")
        elif path.endswith(".css"):
            route.fulfill(path=STATIC / path, content_type="text/css")
        else:
            route.fulfill(path=STATIC / path, content_type="text/javascript")

    page.route(f"{SITE}/**", answer)
    page.add_init_script(SERVER)


def opened(browser: Any) -> Iterator[Page]:
    """One page for all tests of a module, for a fixture."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    serve(page)
    page.goto(f"{SITE}/page")
    yield page
    context.close()


def open_board(page: Page) -> Page:
    """The whole board with six images, ready."""
    page.goto(f"{SITE}/board")
    rows = json.dumps([[image(n), 1 + n % 2, 1, "", "", "", None] for n in range(6)])
    page.evaluate(
        f"async () => {{ rows = {rows}; document.cookie = 'csrftoken=one'; await import('/js/sorting_board.js'); }}"
    )
    expect(page.locator("[data-board][data-ready]")).to_be_attached(timeout=60_000)
    page.evaluate("window.board = document.querySelector('[data-board]').board")
    return page


def image(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def expect_found(page: Page, **labels: str) -> None:
    """``_2="AML"``: of the images, only the third is decided."""
    stands = "board.model.items.map(({ label, verdict, reason }) => label || reason || verdict.replace('cleared', ''))"
    page.wait_for_function(
        f"(wanted) => {stands}.join() === wanted.join()", arg=[labels.get(f"_{n}", "") for n in range(6)]
    )


def expect_said(page: Page, words: str) -> None:
    """Where it can be seen, and not by screen readers alone."""
    expect(page.locator("[data-announce]")).to_have_text(re.compile(re.escape(words)))
    expect(page.locator("[data-announce]")).not_to_have_class(re.compile("visually-hidden"))
