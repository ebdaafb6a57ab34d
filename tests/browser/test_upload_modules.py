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
    assert found["missing"] == 1


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
    plan[1]["slide"] = plan[2]["slide"] = "same"
    plan[0]["patient"] = "=1"
    found = call("upload_plan", "m.problems(a[0])", plan)
    assert [field for _, field, _ in found] == ["patient", "slide"]
