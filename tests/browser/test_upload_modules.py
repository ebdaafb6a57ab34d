"""The pure parts of the upload page, called in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cases.naming import NamePattern, capture_order

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def call(browser_as: Callable[..., Any]) -> Callable[..., Any]:
    """``call("upload_plan", "m.toCode(a[0])", "x")``: an expression over the module ``m`` and the arguments ``a``."""
    page = browser_as("technician")
    page.goto("/upload/")

    def run(module: str, expression: str, *args: Any) -> Any:
        script = f"async (a) => {{ const m = await import('/static/leukoweb/js/{module}.js'); return {expression}; }}"
        return page.evaluate(script, list(args))

    return run


def test_browser_and_server_agree_on_the_capture_order(call: Callable[..., Any]) -> None:
    names = ["b/2.png", "a/10.png", "a/9.png", "a/B1.png", "a/b0.png", "a/007.png", "10.png", "9.png", "a/img 3.png"]
    files = [{"path": name, "size": 1, "file": None} for name in names]
    sorted_out = call("upload_files", "m.sortOut(a[0])", files)
    assert [file["path"] for file in sorted_out["files"]] == capture_order(names)


def test_what_is_no_image_is_left_out(call: Callable[..., Any]) -> None:
    names = ["a/1.jpg", "a/README.md", "a/.DS_Store", "__MACOSX/a/._1.jpg", "a/Thumbs.db", "a/scan", "a/list.xlsx"]
    found = call("upload_files", "m.sortOut(a[0])", [{"path": name, "size": 1} for name in names])
    assert [file["path"] for file in found["files"]] == ["a/1.jpg", "a/scan"]
    assert found["leftOut"] == ["a/README.md", "a/list.xlsx"]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (r"^(\d+)_", "ALL/4_15_1000.png"),
        (r"(?P<patient>P\d+)[-_](?P<slide>S\d)", "P7/P7_S2/1.png"),
        (r"(?P<patient>\d+)", "x/none.png"),
        (r"^([A-Z]+)/", "AML/1.png"),
    ],
)
def test_browser_and_server_read_the_same_from_names(call: Callable[..., Any], pattern: str, path: str) -> None:
    parsed = NamePattern.compile(pattern).parse(path)
    wanted = (parsed.patient or "", parsed.slide or "") if parsed else ("", "")
    found = call("upload_plan", "m.readPattern(m.compilePattern(a[0]), a[1])", pattern, path)
    assert (found["patient"], found["slide"]) == wanted


@pytest.mark.parametrize("pattern", ["(", r"\d+"])
def test_a_pattern_that_cannot_work_is_told(call: Callable[..., Any], pattern: str) -> None:
    with pytest.raises(Exception, match=r"parentheses|Invalid regular expression"):
        call("upload_plan", "m.compilePattern(a[0])", pattern)


def test_a_folder_that_is_dropped_again_brings_what_was_never_announced(call: Callable[..., Any]) -> None:
    items = [
        {"path": "d/a/1.png", "size": 5, "slide": 7, "needed": False, "state": "stored"},
        {"path": "d/a/2.png", "size": 5, "slide": 7, "needed": True, "state": "expected"},
        {"path": "d/b/9.png", "size": 5, "slide": 8, "needed": True, "state": "expected"},
    ]
    names = ["d/a/1.png", "d/a/2.png", "d/a/3.png", "e/1.png"]
    files = [{"path": name, "size": 5, "archive": False, "memberOf": ""} for name in names]
    state = {"slide": None, "slides": [{"id": 7, "code": "A-S1"}, {"id": 8, "code": "B-S1"}]}
    found = call("upload_resume", "m.toResume(a[0], a[1], a[2])", files, items, state)
    assert [file["path"] for file in found["known"]] == ["d/a/2.png"]
    assert [(file["path"], file["slide"]) for file in found["fresh"]] == [("d/a/3.png", "A-S1")]
    assert [file["path"] for file in found["homeless"]] == ["e/1.png"]
    assert (found["missing"], found["met"]) == (1, True)


def test_a_resumed_upload_takes_no_strange_files_unasked(call: Callable[..., Any]) -> None:
    """Into one slide everything would fit: the images of another patient, too."""
    found = call(
        "upload_api",
        """(async () => {
        const root = document.querySelector("[data-upload]");
        const items = [{ id: 1, path: "b/1.png", size: 1, slide: 5, needed: true, state: "expected" }];
        const counts = { stored: 0, duplicate: 0, refused: 0, expected: 1 };
        const state = { slide: 5, slides: [{ id: 5, code: "S5" }], counts };
        const told = [], asked = [];
        window.confirm = (words) => Boolean(asked.push(words.split("?")[0])) && false;
        window.fetch = async (url, { method, body } = {}) => {
            const list = String(url).includes("/items/");
            const files = method === "POST" && list ? JSON.parse(body).files.map(({ path }) => path) : null;
            if (files) told.push(...files);
            return new Response(JSON.stringify(files ? { items: [] } : list ? { results: items, next: null } : state));
        };
        const drop = async (...names) => {
            root.upload.resumed ??= "B";
            const dropped = new DataTransfer();
            for (const name of names) dropped.items.add(new File(["x"], name));
            const input = root.querySelector("input[type=file]:not([webkitdirectory])");
            input.files = dropped.files;
            input.dispatchEvent(new Event("change"));
            const until = performance.now() + 3000;
            const over = () => root.upload.part("message").textContent || !root.upload.part("done").hidden;
            while (!over() && performance.now() < until) await new Promise((resolve) => setTimeout(resolve));
            return root.upload.part("message").textContent;
        };
        const refused = await drop("c/1.png", "2.png");
        items[0].path = "1.png";
        root.upload.report.say("");
        await drop("1.png", "2.png");
        return { refused, asked, told };
    })()""",
    )
    assert found["refused"].startswith("None of these files is missing in that upload")
    assert found["asked"] == ["1 file was not part of this upload before. Add to slide S5"]
    assert found["told"] == ["1.png"], "who says no sends only what is missing"


def test_an_answer_from_somebody_in_between_is_a_failure_that_can_be_retried(call: Callable[..., Any]) -> None:
    found = call(
        "upload_api",
        """(async () => {
        window.XMLHttpRequest = class extends EventTarget {
            upload = new EventTarget(); status = 200; responseText = "<html>Sign in to the network</html>";
            open() {} setRequestHeader() {}
            send() { this.dispatchEvent(new Event("load")); }
        };
        const put = m.putFile("/x/", new Blob(), () => {}).catch((error) => error.status);
        return Promise.race([put, new Promise((resolve) => setTimeout(() => resolve("hung"), 2000))]);
    })()""",
    )
    assert found == 0


@pytest.mark.parametrize(("said", "pauses"), [(False, [10_000] * 6), (True, [10_000, "short"] * 3)])
def test_a_browser_that_calls_itself_offline_tries_all_the_same(
    call: Callable[..., Any], said: bool, pauses: list[Any]
) -> None:
    """Some say so for ever, where the server is in the same building; more tries than are else made, none counted."""
    tries = """(async () => {
        const { ApiError } = await import("/static/leukoweb/js/upload_api.js");
        Object.defineProperty(navigator, "onLine", { get: () => false, configurable: true });
        const real = window.setTimeout, paused = [];
        window.setTimeout = (work, ms) => {
            paused.push(ms < 2000 ? "short" : ms);
            if (ms === 10_000 && a[0]) return real(() => window.dispatchEvent(new Event("online")));
            return real(work);
        };
        let left = a[1];
        const deed = async () => { if (left--) throw new ApiError(0, {}); return "sent"; };
        const hung = new Promise((resolve) => real(() => resolve("hung"), 3000));
        try {
            return [await Promise.race([m.persistently(deed), hung]), paused];
        } finally {
            window.setTimeout = real;
            delete navigator.onLine;
        }
    })()"""
    assert call("upload_queue", tries, said, len([ms for ms in pauses if ms == 10_000])) == ["sent", pauses]


def test_a_line_that_breaks_while_an_archive_is_unpacked_ends_in_counts_and_a_retry(call: Callable[..., Any]) -> None:
    found = call(
        "upload_api",
        """(async () => {
        const root = document.querySelector("[data-upload]");
        const part = (name) => root.upload.part(name);
        const real = window.setTimeout;
        window.setTimeout = (work) => real(work); // no pauses
        const items = [
            { id: 1, path: "a.zip", archive: true, size: 9, state: "received", job: "J", slide: null },
            { id: 2, path: "a.zip/1.png", member: true, slide: null, state: "refused", code: "E_ODD", message: "Odd." },
        ];
        let down = true, polls = 0;
        window.fetch = async (url) => {
            const [job, list] = [String(url).startsWith(root.dataset.jobsUrl), String(url).includes("/items/")];
            polls += Number(job);
            if (job && down) throw new TypeError("Failed to fetch");
            const body = job ? { status: "done", done_units: 2, total_units: 2, note: "" }
                : list ? { results: items, next: null }
                : { slide: null, slides: [], counts: { stored: 1, duplicate: 0, refused: 1, expected: 0 } };
            return new Response(JSON.stringify(body));
        };
        const text = (name) => part(name).textContent;
        const lines = () => [...part("error-rows").rows].map((row) => row.innerText.split("\\t").slice(0, 2).join(" "));
        const said = () => [text("message"), text("done-words"), lines()];
        const end = async () => {
            const until = performance.now() + 3000;
            while (part("done").hidden && performance.now() < until) await new Promise((resolve) => real(resolve));
            return [polls, !part("done").hidden, part("retry").checkVisibility(), ...said()];
        };
        root.upload.resumed = "B";
        const input = root.querySelector("input[type=file]:not([webkitdirectory])");
        const dropped = new DataTransfer();
        dropped.items.add(new File(["x"], "other.png"));
        input.files = dropped.files;
        input.dispatchEvent(new Event("change"));
        const cut = await end();
        down = false;
        Object.assign(items[0], { state: "refused", code: "E_ZIP_CASE", message: "It names them." });
        part("retry").click();
        const mended = await end();
        root.upload.report.say("You were signed out.", true);
        root.upload.sending = true;
        window.dispatchEvent(new Event("online")); // no word of the line: it stands
        const stands = part("message").textContent;
        window.dispatchEvent(new Event("offline"));
        const gone = part("message").textContent;
        window.dispatchEvent(new Event("online"));
        root.upload.sending = false;
        const left = [1, 2].map((n) => {
            root.upload.report.end(null, { cut: { message: "Gone.", hint: "" }, left: n });
            return part("message").textContent;
        });
        return { cut, mended, stands, gone: gone.split(".")[0], message: left };
    })()""",
    )
    cut = "The server stopped answering before all was done. The server could not be reached. Check the connection."
    counts = "1 stored, 1 refused."
    assert found == {
        "cut": [4, True, True, cut, counts, []],
        "mended": [5, True, False, "", counts, ["a.zip E_ZIP_CASE", "a.zip/1.png E_ODD"]],
        "stands": "You were signed out.",
        "gone": "The line is gone",
        "message": ["1 file has not been sent. Gone.", "2 files have not been sent. Gone."],
    }


def test_codes_are_proposed_and_checked(call: Callable[..., Any]) -> None:
    assert call("upload_plan", "m.toCode(a[0])", "/Müller: Ä=1") == "Muller- A-1"
    files = [{"path": f"{folder}/1.png", "size": 1, "archive": False} for folder in ("x/P1", "y/P1", "z/=")]
    plan = call("upload_plan", "m.groups(a[0], null, a[1])", files, "LA-")
    codes = [(group["patient"], group["slide"]) for group in plan]
    assert codes[:2] == [("LA-P1", "LA-P1-S1"), ("LA-P1", "LA-P1-S2")]
    assert codes[2][0].startswith("UNNAMED-"), "nothing of the folder's name can be a code"
    typed = "new Map([[a[1], {patient: 'P-17'}]])"
    kept = call("upload_plan", f"(() => m.groups(a[0], null, 'X', {typed}))()", files, plan[0]["key"])
    assert [group["slide"] for group in kept[:2]] == ["P-17-S1", "XP1-S1"], "no name is left in the slide's code"
    plan[1]["slide"] = plan[2]["slide"] = "same"
    plan[0]["patient"] = "=1"
    found = call("upload_plan", "m.problems(a[0])", plan)
    assert [field for _, field, _ in found] == ["patient", "slide"]


def test_codes_that_were_typed_stay_whatever_is_dropped_later(call: Callable[..., Any]) -> None:
    found = call(
        "upload_plan",
        """(() => {
        const { plan } = document.querySelector("[data-upload]").upload;
        const file = (path) => ({ path, size: 1, archive: false });
        const codes = () => plan.plan.map(({ patient, slide }) => [patient, slide]);
        const type = (key, text) => {
            const input = document.querySelector(`[data-key="${key}"]`);
            input.value = text;
            input.dispatchEvent(new Event("input"));
        };
        plan.show([file("Mueller Anna/1.png"), file("=/1.png")], []);
        const drawn = codes()[1];
        type("patient-0", "P-017");
        type("slide-1", "own");
        const shown = document.querySelector('[data-key="slide-0"]').value;
        plan.show([file("Mueller Anna/1.png"), file("=/1.png"), file("b/1.png")], []);
        return { drawn, shown, codes: codes(), edited: plan.edited };
    })()""",
    )
    assert found["shown"] == "P-017-S1"
    assert found["codes"] == [["P-017", "P-017-S1"], [found["drawn"][0], "own"], ["b", "b-S1"]]
    assert found["edited"] is True, "leaving the page asks first"


def test_another_card_with_the_same_names_is_not_dropped_unsaid(call: Callable[..., Any]) -> None:
    found = call(
        "upload_plan",
        """(async () => {
        const root = document.querySelector("[data-upload]");
        const input = root.querySelector("input[type=file]:not([webkitdirectory])");
        const choose = async (...times) => {
            const files = new DataTransfer();
            for (const lastModified of times) files.items.add(new File(["x"], "IMG_1.png", { lastModified }));
            input.files = files.files;
            root.upload.report.say("");
            root.upload.part("rows").replaceChildren();
            input.dispatchEvent(new Event("change"));
            while (!root.upload.part("rows").childElementCount) await new Promise((resolve) => setTimeout(resolve));
            return [root.upload.chosen.length, root.upload.part("message").textContent.split(":")[0]];
        };
        const one = [await choose(1), await choose(1), await choose(2)];
        root.upload.chosen = [];
        return [...one, await choose(1, 2)];
    })()""",
    )
    told = "Left out, because another file of the same name is in the list already"
    assert found == [[1, ""], [1, ""], [1, told], [1, told]], "also within one drop"
