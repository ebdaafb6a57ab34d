"""The modules of the reading board, each alone in the browser that runs them: no server, no database.

The page's address is plain http on a named host, as where a lab tries the program out: no secure context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route

pytestmark = pytest.mark.browser
STATIC = Path(__file__).parents[2] / "leukoweb/static/leukoweb/js"
Script = Callable[[str], Any]

# A server that answers as told, one reply after the other; "lost": it did what it was asked, the reply never came.
SERVER = """
  const asked = [];
  const replies = [];
  let cut = false; // every reply is lost
  window.fetch = async (url, options) => {
    asked.push({ url: String(url), ...JSON.parse(options?.body ?? "{}") });
    const reply = replies.shift() ?? { status: 200, body: { version: asked.length } };
    if (cut || reply === "lost") throw new TypeError("Failed to fetch");
    return new Response(JSON.stringify(reply.body), { status: reply.status });
  };
  const error = (status, code, message = code) => ({ status, body: { error: { code, message } } });
"""
SYNC = (
    SERVER
    + """
  const { AnswerSync } = await import("/reading_sync.js");
  const { Queue } = await import("/reading_store.js");
  const queue = await new Queue(String(Math.random())).open();
  let state = null;
  const said = [];
  const hook = (name) => (...rest) => { said.push([name, ...rest]); };
  const sync = new AnswerSync(queue, {
    url: (token) => `/${token}`, changed: (now) => { state = now; }, clash: hook("clash"), dropped: hook("dropped"),
    locked: hook("locked"), gone: hook("gone"), closed: hook("closed"),
  });
  const save = async (token, answer) => { await sync.save(token, answer); await sync.flush(); };
"""
)


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    def module(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[-1]
        path = STATIC / name
        if path.is_file():
            route.fulfill(path=path, content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><title>Modules</title>", content_type="text/html")

    context = browser.new_context()
    opened = context.new_page()
    opened.route("http://board.example/**", module)
    opened.goto("http://board.example/page")
    yield opened
    context.close()


@pytest.fixture
def run(page: Any) -> Script:
    """``run("statements; return value;")`` in the page."""
    return lambda script: page.evaluate(f"async () => {{ {script} }}")


def test_quick_changes_rest_on_one_another_and_are_no_clash(run: Script) -> None:
    """A server that takes an answer only on top of its own version, and somebody who types all the time."""
    found = run(
        SYNC
        + """
        let version = 0, last = null;
        window.fetch = async (url, options) => {
          const asked = JSON.parse(options.body);
          await new Promise((resolve) => setTimeout(resolve, 1));
          const clash = error(409, "E_VERSION");
          if (asked.version !== version) return new Response(JSON.stringify(clash.body), { status: 409 });
          [version, last] = [version + 1, asked.answer];
          return new Response(JSON.stringify({ version }), { status: 200 });
        };
        for (let n = 1; n <= 100; n++) {
          sync.save("a", n);
          if (n % 3) await new Promise((resolve) => n % 2 ? setTimeout(resolve, 0) : queueMicrotask(resolve));
        }
        await sync.flush();
        for (let turn = 0; queue.size && turn < 200; turn++) await new Promise((resolve) => setTimeout(resolve, 10));
        return [said, last, queue.size, version > 1];
        """
    )
    assert found == [[], 100, 0, True]


def test_answers_are_saved_where_the_page_is_no_secure_context(run: Script) -> None:
    found = run(SYNC + "await save('a', 1); return [window.isSecureContext, asked[0].key.length, queue.size, state];")
    assert found[:3] == [False, 36, 0]
    assert found[3]["pending"] == 0


def test_an_answer_that_is_not_accepted_stays_and_is_told(run: Script) -> None:
    found = run(
        SYNC
        + """
        replies.push(error(400, "E_ANSWER", "comment is odd"));
        await save("a", 1);
        await save("b", 2);
        const first = { size: queue.size, refused: state.refused, words: [sync.refusal("a"), sync.refusal("b")] };
        await save("a", 3);
        return { first, size: queue.size, refused: state.refused, answers: asked.map((a) => a.answer), said };
        """
    )
    assert found["first"] == {"size": 1, "refused": {"case": "a", "words": "comment is odd"},
                              "words": ["comment is odd", ""]}  # fmt: skip
    assert (found["size"], found["refused"], found["answers"], found["said"]) == (0, None, [1, 2, 3], [])


def test_what_is_pasted_loses_what_the_server_could_not_take(run: Script) -> None:
    found = run(
        r"""
        const { printable } = await import("/reading_answer.js");
        return printable("Auer\x02 rods\vmany\tblasts\r\n\f\0\x7f\ud83dAPL\u{1f9ec}\udeecÄ");
        """
    )
    assert found == "Auer rods\nmany\tblasts\n\nAPL\U0001f9ecÄ"


def test_what_a_proxy_or_another_role_refuses_is_sent_again(run: Script) -> None:
    found = run(
        SYNC
        + """
        replies.push(error(403, "E_NOT_ALLOWED", "This is not allowed."), { status: 408, body: "late" });
        await save("a", 1);
        const first = [queue.size, state.refused?.words, state.failing];
        await sync.flush();
        const second = [queue.size, state.failing];
        await sync.flush();
        const keys = new Set(asked.map(({ key }) => key)).size;
        return { first, second, size: queue.size, keys, refused: state.refused };
        """
    )
    assert found == {
        "first": [1, "This is not allowed.", True],
        "second": [1, True],
        "size": 0,
        "keys": 1,
        "refused": None,
    }


def test_only_a_case_that_was_left_or_withdrawn_drops_its_answer(run: Script) -> None:
    found = run(
        SYNC
        + """
        replies.push(error(409, "E_FORWARD"), error(409, "E_GONE"));
        await save("a", 1);
        await save("b", 1);
        return [queue.size, said.map(([name, e]) => [name, e.code])];
        """
    )
    assert found == [0, [["dropped", "E_FORWARD"], ["dropped", "E_GONE"]]]


def test_a_lost_reply_and_a_change_after_it_are_no_clash(run: Script) -> None:
    """The first is repeated under its key, then the second goes on top of it; as the second page of a reload, too."""
    found = run(
        SYNC
        + """
        cut = true;
        sync.newest({ case: "a", version: 4, answer: 0 });
        await save("a", 1);
        await save("a", 2);
        sync.save("a", 3);
        await sync.save("a", 4);
        const waiting = [queue.items.map(({ answer }) => answer), state.pending];
        const again = await new Queue(queue.session).open();
        cut = false;
        replies.push({ status: 200, body: { version: 5 } }, { status: 200, body: { version: 6 } });
        await sync.flush();
        const sent = new Set(asked.map(({ key, answer, version }) => JSON.stringify([key, answer, version])));
        const [order, was] = [[...sent].map((text) => JSON.parse(text).slice(1)), again.items.map(({ sent }) => sent)];
        return { sent: order, waiting, again: was, size: queue.size };
        """
    )
    assert found == {"sent": [[1, 4], [4, 5]], "waiting": [[1, 4], 1], "again": [True, False], "size": 0}


def test_what_waits_does_not_overwrite_another_window_unseen(run: Script) -> None:
    found = run(
        SYNC
        + """
        cut = true;
        await save("a", 1);
        const shown = sync.newest({ case: "a", version: 7, answer: 9 }); // meanwhile another window answered
        await sync.save("a", 2);
        cut = false;
        replies.push({ status: 409, body: { error: { code: "E_VERSION" }, version: 7, answer: 9 } });
        await sync.flush();
        return [shown, [...new Set(asked.map(({ version }) => version))], said.map(([name, token]) => [name, token])];
        """
    )
    assert found == [1, [0], [["clash", "a"]]]


def test_a_case_that_was_described_before_its_answer_was_stored_shows_the_answer(run: Script) -> None:
    found = run(
        SYNC
        + """
        replies.push({ status: 200, body: { version: 1 } });
        await save("a", 1);
        return [sync.newest({ case: "a", version: 0, answer: 0 }), sync.newest({ case: "a", version: 2, answer: 5 })];
        """
    )
    assert found == [1, 5]


CLOCK = """
  const { ActiveClock } = await import("/reading_clock.js");
  const said = [];
  const clock = new ActiveClock({ tick: () => undefined, idle: () => said.push("idle"), idleMinutes: 10 });
  const now = Date.now;
  const later = (minutes) => { const at = now() + minutes * 60_000; Date.now = () => at; };
"""


@pytest.mark.parametrize("event", ["", "pointermove"])
def test_the_desk_locks_in_a_pause_too_and_before_a_hand_is_back(run: Script, event: str) -> None:
    """A computer that slept may hand over the first move of the mouse before any tick."""
    found = run(
        CLOCK
        + f"""
        clock.stop();
        later(9); clock.step();
        const early = said.length;
        later(11);
        if ("{event}") document.dispatchEvent(new Event("{event}")); else clock.step();
        const locked = said.length;
        clock.step();
        const once = said.length;
        clock.go(); later(30); clock.step();
        Date.now = now;
        return [early, locked, once, said.length];
        """
    )
    assert found == [0, 1, 1, 2]


def test_digits_go_by_their_place_on_every_keyboard(run: Script) -> None:
    found = run(
        """
        const { DESK_KEYS, shiftedDigit } = await import("/reading_keys.js");
        const { digitByPlace, Keymap, keyName } = await import("/keymap.js");
        const key = (key, code, rest = {}) => new KeyboardEvent("keydown", { key, code, ...rest });
        const keymap = new Keymap(DESK_KEYS);
        const shift = { shiftKey: true };
        const azerty = [key("&", "Digit1"), key("1", "Digit1", shift), key("à", "Digit0"), key("-", "Digit6")];
        const pad = [key("1", "Numpad1"), key("End", "Numpad1")];
        const ctrl = key("1", "Digit1", { ctrlKey: true });
        const lock = { modifierNumLock: true };
        const padded = [key("ArrowLeft", "Numpad4", lock), key("4", "Numpad4", lock), key("ArrowLeft", "Numpad4")];
        const letters = [key("f", "KeyF"), key("а", "KeyF"), key("φ", "KeyF"), key("é", "KeyF"), key("a", "KeyQ")];
        return {
          plain: [...azerty, ...pad, ctrl].map(digitByPlace), sure: [...azerty, ...padded].map(shiftedDigit),
          letters: letters.map((event) => keyName(event)), zoom: ["e", "w"].map((sign) => keymap.owner(sign)?.action),
        };
        """
    )
    assert found["plain"] == ["1", None, "0", "6", None, None, None]
    assert found["sure"] == [None, 1, None, None, 4, None, None], "Shift on the number pad, as Windows tells it"
    assert found["letters"] == ["f", "f", "f", "é", "a"]
    assert found["zoom"] == ["zoom-in", "zoom-out"]


def test_what_is_seen_while_a_report_is_under_way_is_in_the_next(run: Script) -> None:
    found = run(
        """
        const { FieldStage } = await import("/reading_stage.js");
        const stage = Object.create(FieldStage.prototype);
        const field = (image) => ({ image, ms: 100, bits: 1n, fresh: true, dirty: true });
        stage.fields = [field("a"), field("b"), field("c")];
        const first = stage.report();
        stage.fields[0].ms += 50;
        stage.fields[1].bits |= 2n;
        first.done();
        const next = stage.report();
        next.done();
        return [Object.keys(first.fields), next.fields, Object.keys(stage.report().fields)];
        """
    )
    assert found[0] == ["a", "b", "c"]
    assert found[1] == {"a": {"ms": 150, "coverage": f"{1:016x}"}, "b": {"ms": 100, "coverage": f"{3:016x}"}}
    assert found[2] == []


def test_pixels_that_were_let_go_on_their_way_are_not_kept(run: Script) -> None:
    found = run(
        """
        const { FieldImages } = await import("/reading_fields.js");
        const canvas = Object.assign(document.createElement("canvas"), { width: 4, height: 4 });
        const blob = await new Promise((done) => { canvas.toBlob(done); });
        const open = new Set();
        const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
        URL.createObjectURL = (data) => { const address = create.call(URL, data); open.add(address); return address; };
        URL.revokeObjectURL = (address) => { open.delete(address); revoke.call(URL, address); };
        let body = blob;
        window.fetch = async () => new Response(body, { headers: { "Content-Type": "image/png" } });
        const images = new FieldImages((token) => token);
        const early = images.get("early");
        images.keepOnly([]);
        const again = images.get("early"); // asked for anew while the first is still on its way
        await Promise.all([early, again]);
        images.keepOnly([]);
        const left = images.get("left");
        images.keepOnly([]);
        await left;
        body = new Blob(["no image"]);
        const broken = await images.get("broken").catch(() => "broken");
        await new Promise((done) => { setTimeout(done); });
        const counts = [images.decoded.size, open.size];
        [URL.createObjectURL, URL.revokeObjectURL] = [create, revoke];
        return [...counts, broken];
        """
    )
    assert found == [0, 0, "broken"]


def test_the_list_of_cases_keeps_the_keyboards_place(run: Script) -> None:
    found = run(
        """
        const { drawCases } = await import("/reading_draw.js");
        const list = document.body.appendChild(document.createElement("ol"));
        const cases = [1, 2, 3].map((n) => ({ n, case: `c${n}`, answered: n === 1, viewed: true, gone: false }));
        const gone = [];
        drawCases(list, cases, "c1", (line) => gone.push(line.case));
        list.children[1].firstElementChild.focus();
        drawCases(list, cases.map((line) => ({ ...line, answered: true })), "c2", () => undefined);
        document.activeElement.click();
        const said = [...list.querySelectorAll("button")].map((b) => [b.ariaLabel, b.getAttribute("aria-current")]);
        list.remove();
        return [gone, said];
        """
    )
    assert found[0] == ["c2"]
    assert found[1] == [["Case 1, finished", None], ["Case 2, finished", "true"], ["Case 3, finished", None]]


def test_looks_that_a_closed_study_does_not_take_are_not_promised_to_be_sent_again(run: Script) -> None:
    found = run(
        """
        const { ReadingBoard } = await import("/reading_board.js");
        const said = [];
        const board = { sync: { flush: async () => true }, saveState: {}, sayTodo: (words) => said.push(words) };
        for (const [code, message] of [["E_CLOSED", "Reading in this study ended."], ["E_NETWORK", "No server."]]) {
            board.report = async () => ({ code, message });
            said.push(await ReadingBoard.prototype.settled.call(board));
        }
        return said;
        """
    )
    again = "What you looked at is not on the server yet: No server. It is sent again in a moment; then go on."
    assert found == ["Reading in this study ended.", False, again, False]


def test_before_signing_out_cases_are_counted_as_the_board_counts_them(run: Script) -> None:
    """Two answers to one case wait where the first was sent and its reply was lost; the badge says one."""
    words = run(
        """
        const { Queue } = await import("/reading_store.js");
        const { waitingWords } = await import("/sign_out.js");
        const [one, two] = [await new Queue("S1").open(), await new Queue("S2").open()];
        await new Promise((emptied) => { // other tests leave answers that wait
            indexedDB.open("leukoweb-reading").onsuccess = ({ target: { result: database } }) => {
                const transaction = database.transaction("queue", "readwrite");
                transaction.objectStore("queue").clear();
                transaction.oncomplete = () => { database.close(); emptied(); };
            };
        });
        const words = [];
        for (const [queue, key, at] of [[one, "w1", "a"], [one, "w2", "a"], [two, "w3", "a"]]) {
            await queue.put({ key, case: at, n: 1 });
            words.push([await waitingWords(), one.cases + two.cases]);
        }
        await one.clear();
        await two.clear();
        return [...words, await waitingWords()];
        """
    )
    assert words == [["1 reading answer", 1], ["1 reading answer", 1], ["2 reading answers", 2], ""]
