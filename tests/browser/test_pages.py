"""The frame of all pages and the pages of core in a real browser: themes, phone width, accessibility, polling."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = (Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js").read_text(encoding="utf-8")
THEMES = ("light", "dark", "neutral")
PHONE = {"width": 390, "height": 844}
OpenPage = Callable[..., Page]


def axe_problems(page: Page, **options: Any) -> list[str]:
    """Serious and critical findings of axe-core on the page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("options => axe.run({resultTypes: ['violations'], ...options})", options)["violations"]
    return [
        f"{problem['id']}: {problem['nodes'][0]['html'][:200]}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
    ]


def choose_theme(page: Page, theme: str) -> None:
    page.evaluate("theme => document.querySelector(`[data-theme-choice='${theme}']`).click()", theme)


def assert_accessible_in_every_theme(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")  # a colour half-way between two themes has no contrast to speak of
    first, *others = THEMES
    choose_theme(page, first)
    assert axe_problems(page) == []
    for theme in others:
        choose_theme(page, theme)
        assert axe_problems(page, runOnly=["color-contrast"]) == [], theme


def assert_fits_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.fixture
def visitor(browser: Any, live_server: Any) -> Iterator[Page]:
    """A page of nobody in particular."""
    context = browser.new_context(base_url=live_server.url)
    yield context.new_page()
    context.close()


@pytest.fixture
def jobs(db: None) -> list[Any]:
    from django.utils import timezone

    from leukoweb.core.models import Job

    now = timezone.now()
    common = {"kind": "test", "queue": "infer", "unit": "images", "total_units": 42}
    return [
        Job.objects.create(title="Diagnose A", status="running", done_units=17, started_at=now, **common),
        Job.objects.create(title="Diagnose B", status="queued", **common),
        Job.objects.create(
            title="Diagnose C",
            status="failed",
            finished_at=now,
            error="The file is gone.",
            hint="Restore it.",
            **common,
        ),
    ]


@pytest.mark.parametrize("role", ["technician", "pathologist", "coordinator", "admin"])
def test_the_start_page_is_accessible_and_fits_a_phone(browser_as: OpenPage, jobs: list[Any], role: str) -> None:
    page = browser_as(role)
    page.goto("/")
    expect(page.get_by_text("Research use only. Not for diagnosis.")).to_be_visible()
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


@pytest.mark.parametrize(
    "path", ["/jobs/", "/users/", "/audit/?verify=1", "/accounts/password/change/", "/accounts/2fa/", "/no-such-page/"]
)
def test_pages_are_accessible_and_fit_a_phone(browser_as: OpenPage, jobs: list[Any], path: str) -> None:
    page = browser_as("admin")
    page.goto(path)
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_signing_in(visitor: Page, technician: Any) -> None:
    visitor.goto("/jobs/")
    assert axe_problems(visitor) == []
    visitor.get_by_label("Username").fill(technician.username)
    visitor.get_by_label("Password").fill("wrong")
    visitor.get_by_role("button", name="Sign in").click()
    expect(visitor.locator(".errorlist").first).to_be_visible()
    assert axe_problems(visitor) == []
    visitor.get_by_label("Username").fill(technician.username)
    visitor.get_by_label("Password").fill("correct horse")
    visitor.get_by_role("button", name="Sign in").click()
    expect(visitor).to_have_url(re.compile("/jobs/$"))
    visitor.get_by_role("button", name=technician.username).click()
    visitor.get_by_role("button", name="Sign out").click()
    signed_out = visitor.get_by_role("link", name="Sign in").or_(visitor.get_by_role("button", name="Sign in"))
    expect(signed_out).to_be_visible()


def test_the_navigation_shows_what_the_role_may_do(browser_as: OpenPage) -> None:
    names = {}
    for role in ("technician", "admin"):
        page = browser_as(role)
        page.goto("/")
        names[role] = set(page.locator(".site-nav a").all_text_contents())
    assert {"Home", "Upload", "Jobs"} <= names["technician"]
    assert names["technician"].isdisjoint({"Users", "Audit", "References", "Models", "Results"})
    assert {"Home", "Upload", "Jobs", "Users", "Audit", "References", "Models", "Results"} <= names["admin"]


def test_nothing_is_fetched_from_elsewhere(browser_as: OpenPage, live_server: Any) -> None:
    page = browser_as("admin")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto("/jobs/", wait_until="networkidle")
    assert len(addresses) > 5
    assert [url for url in addresses if not url.startswith((live_server.url, "data:"))] == []


def test_the_theme_is_remembered_and_follows_the_computer_until_chosen(browser_as: OpenPage) -> None:
    page = browser_as("technician", color_scheme="dark")
    page.goto("/")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-bs-theme", "light")
    choose_theme(page, "neutral")
    expect(root).to_have_attribute("data-surround", "neutral")
    # Before the body exists the attribute already stands, so nothing is painted in the wrong colours.
    page.add_init_script(
        "new MutationObserver(() => { if (document.body && !window.atBody)"
        " window.atBody = document.documentElement.dataset.surround; })"
        ".observe(document, {childList: true, subtree: true});"
    )
    page.reload()
    assert page.evaluate("window.atBody") == "neutral"
    expect(page.locator("[data-theme-choice=neutral]")).to_have_attribute("aria-pressed", "true")


def test_the_menu_of_a_phone_opens(browser_as: OpenPage) -> None:
    page = browser_as("technician", viewport=PHONE)
    page.goto("/")
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", name="Running")).to_be_visible()


def test_the_skip_link_is_the_first_stop(browser_as: OpenPage) -> None:
    page = browser_as("technician")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_jobs_page_follows_the_ledger_by_itself(browser_as: OpenPage, jobs: list[Any]) -> None:
    from leukoweb.core.models import Job

    page = browser_as("technician")
    page.goto("/jobs/")
    expect(page.get_by_text("17 of 42 images")).to_be_visible()
    expect(page.get_by_text("The file is gone. Restore it.")).to_be_visible()
    Job.objects.filter(pk=jobs[0].pk).update(done_units=30)
    expect(page.get_by_text("30 of 42 images")).to_be_visible(timeout=15_000)


def test_polls_rest_while_the_tab_is_hidden(browser_as: OpenPage, jobs: list[Any]) -> None:
    page = browser_as("technician")
    page.goto("/jobs/", wait_until="networkidle")
    asked = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        const elt = document.querySelector("#job-lists");
        const event = new CustomEvent("htmx:beforeRequest", {bubbles: true, cancelable: true, detail: {elt}});
        return elt.dispatchEvent(event);
    }"""
    assert page.evaluate(asked, True) is False
    assert page.evaluate(asked, False) is True


def test_what_htmx_could_not_do_is_told_where_it_was_asked_for(browser_as: OpenPage, jobs: list[Any]) -> None:
    page = browser_as("technician")
    page.goto("/jobs/", wait_until="networkidle")
    found = page.evaluate(
        """async () => {
        const html = await (await fetch("/nowhere/")).text();
        const panel = document.querySelector("#main").appendChild(document.createElement("section"));
        panel.innerHTML = '<h2>P</h2><button>Run</button><form><input></form>';
        const button = panel.querySelector("button"), bar = document.querySelector("#job-lists");
        const trouble = () => [...document.querySelectorAll("[data-trouble]")].map((note) => note.textContent);
        const fire = (name, elt, status, responseText, responseURL = "") => elt.dispatchEvent(
            new CustomEvent(name, {bubbles: true, detail: {elt, xhr: {status, responseText, responseURL}}}));
        const said = [];
        for (const [status, text] of [[404, html], [502, "<p>Bad gateway</p>"], [0, ""]]) {
            fire(status ? "htmx:responseError" : "htmx:sendError", button, status, text);
            said.push(trouble());
        }
        fire("htmx:responseError", bar, 502, "");
        const offline = !document.querySelector("[data-offline-note]").hidden;
        fire("htmx:beforeSwap", button, 200, "");
        fire("htmx:beforeSwap", bar, 200, "");
        const over = [trouble(), document.querySelector("[data-offline-note]").hidden];
        panel.querySelector("input").value = "half a word";
        fire("htmx:beforeSwap", button, 200, "", location.origin + "/accounts/login/");
        return {said, offline, over, out: trouble()};
    }"""
    )
    unknown = "Whether it was done cannot be told: reload the page and look before you do it again."
    assert found["said"] == [
        ["There is nothing here. Check the address, or start from the first page."],
        [f"The server answered 502. {unknown}"],
        [f"The server cannot be reached. {unknown}"],
    ]
    assert (found["offline"], found["over"]) == (True, [[], True])
    assert [words.split(".")[0] for words in found["out"]] == ["You are signed out"], "nothing that was typed is lost"


def test_a_progress_bar_stops_polling_when_its_job_ends(browser_as: OpenPage, jobs: list[Any]) -> None:
    from leukoweb.core.models import Job

    page = browser_as("technician")
    page.goto("/")
    row = page.locator(f"[id='job-{jobs[0].pk}']")
    expect(row).to_have_attribute("hx-trigger", "every 2s")
    row.evaluate("(row) => row.parentElement.setAttribute('hx-select', '#another')")  # it must not reach into the bar
    Job.objects.filter(pk=jobs[0].pk).update(status="done", done_units=42)
    expect(row.get_by_text("Done")).to_be_visible(timeout=15_000)
    assert row.get_attribute("hx-trigger") is None


def test_a_failed_job_is_retried_from_the_page(browser_as: OpenPage, jobs: list[Any]) -> None:
    page = browser_as("technician")
    page.goto("/jobs/")
    page.get_by_role("button", name="Retry Diagnose C").click()
    expect(page.get_by_text("is queued again")).to_be_visible()
    jobs[2].refresh_from_db()
    assert jobs[2].status == "queued"


def test_an_invited_person_sets_a_password_by_the_copied_link(
    browser_as: OpenPage, visitor: Page, technician: Any
) -> None:
    Authenticator.objects.create(user=technician, type="totp", data={"secret": "x"})
    page = browser_as("admin", permissions=["clipboard-read", "clipboard-write"])
    page.goto("/users/")
    page.get_by_label("Username").fill("ines")
    page.get_by_label("Full name").fill("Ines Roth")
    page.get_by_label("Role", exact=True).select_option("pathologist")
    page.get_by_role("button", name="Create and make a link").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "/join/" in link
    expect(page.get_by_role("button", name=f"Remove the second step of {technician}")).to_be_visible()
    assert axe_problems(page) == []

    visitor.goto(link)
    assert axe_problems(visitor) == []
    visitor.get_by_label("New password").fill("quiet microscope 7")
    visitor.get_by_label("The same again").fill("quiet microscope 7")
    visitor.get_by_role("button", name="Set the password").click()
    expect(visitor.get_by_role("heading", name="Good to see you, Ines")).to_be_visible()


def test_text_of_people_never_runs(browser_as: OpenPage, jobs: list[Any]) -> None:
    from leukoweb.core.models import Job, User

    attack = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    Job.objects.filter(pk=jobs[0].pk).update(title=attack, note=attack)
    page = browser_as("admin")
    User.objects.filter(pk=page.user.pk).update(first_name=attack)  # type: ignore[attr-defined]
    for path in ("/", "/jobs/", "/users/"):
        page.goto(path)
        assert page.title() != "run"
        assert page.locator("img[src=x]").count() == 0
