"""Scripts in every text of the database, every field of every form, every file name: none becomes markup or runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.test import Client
from django.urls import reverse

from leukoweb.core.guards import guards_lifted
from tests.conftest import BACKEND
from tests.security.pages import MARK, PAYLOADS, Markup, crawl, filled, route_of
from tests.security.world import World, make_world

pytestmark = pytest.mark.django_db(transaction=True)
ROLES = ("technician", "pathologist", "coordinator", "admin")
# Written by the program, never by a person: hashes, tokens, states, fixed words that choose behaviour.
OURS = (
    "sha256", "token", "password", "session", "hash", "kind", "queue", "key", "role", "state", "status", "format",
    "phash", "mode", "secret", "time_zone", "arm", "action", "unit", "profile", "verdict", "origin", "part", "slot",
    "domain", "codename", "app_label", "model", "lease_owner", "worker", "class_map", "outcome", "rule",
)  # fmt: skip
OUR_TABLES = ("django_", "auth_", "account_", "mfa_", "socialaccount_")
# Labels of classes are the protocol's and the taxonomy's own words; diagnoses are checked against them by services.
VOCABULARY = ("diagnosis", "label", "purpose", "review", "evidence")
FREE_KEYS = {"title", "question", "instructions", "consent", "justification", "reasons", "message", "specialty"}


def free_text(model: type[models.Model]) -> Iterator[models.Field[Any, Any]]:
    """Columns that hold what a person wrote."""
    for column in model._meta.local_concrete_fields:
        if not isinstance(column, models.CharField | models.TextField) or column.choices:
            continue
        if column.is_relation or column.primary_key:
            continue
        if any(word in column.name for word in (*OURS, *VOCABULARY)):
            continue
        if (model.__name__, column.name) == ("StudyCase", "code"):  # drawn by the program; stands in addresses
            continue
        yield column


def shortened(payload: str, limit: int | None, row: Any) -> str:
    text = f"{row}{payload}"  # different in each row: some columns are unique
    return text if limit is None else text[:limit]


def planted_json(value: Any, payload: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: planted_json(v, payload, k) for k, v in value.items()}
    if isinstance(value, list):
        return [planted_json(v, payload, key) for v in value]
    return payload if isinstance(value, str) and key in FREE_KEYS else value


CHECKED = {
    "username",  # at the door: letters, digits, @ . + - _
    "coverage",  # made by the server: 16 hexadecimal digits
}
SETS_STYLES = "/api/v1/docs/"  # Swagger UI tries to; the policy refuses, and the page looks as it should


def plant_everywhere(payload: str) -> int:
    """Put the payload into every free text of every row, past all services and triggers. Returns how many cells."""
    count = 0
    with guards_lifted():
        for model in apps.get_models():
            if model._meta.db_table.startswith(OUR_TABLES):
                continue
            texts = list(free_text(model))
            documents = [f for f in model._meta.local_concrete_fields if isinstance(f, models.JSONField)]
            for row in model._base_manager.all():
                for column in texts:
                    if column.name in CHECKED:
                        continue
                    try:
                        with transaction.atomic():
                            value = shortened(payload, column.max_length, row.pk)
                            model._base_manager.filter(pk=row.pk).update(**{column.name: value})
                        count += 1
                    except IntegrityError:
                        continue
                for column in documents:
                    value = planted_json(getattr(row, column.name), payload)
                    model._base_manager.filter(pk=row.pk).update(**{column.name: value})
    return count


@pytest.fixture
def world(settings: Any) -> World:
    made = make_world()
    session = made.study.session()
    type(session).objects.filter(pk=session.pk).update(state="open")
    return made


def signed_in(world: World, role: str) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(world.users[role], backend=BACKEND)
    return client


def test_the_walker_sees_what_is_planted() -> None:
    for payload in PAYLOADS:
        assert Markup(f"<p>{payload}</p>").injected, payload
        assert not Markup("<p>" + payload.replace("&", "&amp;").replace("<", "&lt;") + "</p>").injected
    assert Markup('<a href="javascript:hit()">x</a>').injected
    assert Markup("<form method=post><input name=a type=text><textarea name=b></textarea></form>").forms[0].fields


@pytest.mark.parametrize("payload", [PAYLOADS[0], *(pytest.param(p, marks=pytest.mark.slow) for p in PAYLOADS[1:])])
def test_texts_of_the_database_are_text_on_every_page(world: World, payload: str) -> None:
    assert plant_everywhere(payload) > 150
    found: list[Any] = []
    routes: set[str] = set()
    shown = 0
    for role in ROLES:
        for address, response, markup in crawl(signed_in(world, role)):
            routes.add(route_of(address))
            shown += MARK.encode() in response.content
            if markup.injected or response.status_code >= 500:
                found.append((role, address, response.status_code, markup.injected[:2]))
    assert not found
    assert len(routes) > 40, sorted(routes)
    assert shown > 40, "the pages show what was planted"


@pytest.mark.parametrize("role", ROLES)
def test_what_forms_are_sent_comes_back_as_text(world: World, role: str) -> None:
    """Every form that links lead to, with the payload in each field and file: an answer, no markup, no crash."""
    client = signed_in(world, role)
    forms = [
        (address, form)
        for address, _, markup in crawl(client, each_route=1)
        for form in markup.forms
        if "logout" not in form.action and any(kind in ("text", "file") for _, kind, _ in form.fields)
    ]
    assert forms
    wrong = []
    for address, form in forms:
        for payload in PAYLOADS[:2]:
            target = form.action or address
            send = client.post if form.method == "post" else client.get
            response = send(target, filled(form, payload))
            if response.status_code == 302:
                response = client.get(response["Location"])
            if response.status_code >= 500:
                wrong.append((target, response.status_code))
            if "html" in response.get("Content-Type", "") and Markup(response.content.decode()).injected:
                wrong.append((target, Markup(response.content.decode()).injected[:2]))
    assert not wrong
    # what they stored is text on the pages too
    for address, _response, markup in crawl(signed_in(world, role), each_route=1):
        assert not markup.injected, (address, markup.injected[:2])


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("role", ROLES)
def test_no_script_runs_in_a_browser(world: World, role: str, browser: Any, live_server: Any) -> None:
    """Chromium opens the pages, their modules build what they build: nothing runs, the policy has nothing to refuse."""
    plant_everywhere(PAYLOADS[0])
    client = signed_in(world, role)
    addresses = [address for address, _, _ in crawl(client, each_route=1)]
    session = world.study.session()
    if role == "pathologist":
        addresses.append(reverse("reading_board", args=[session.token]))
    from django.conf import settings

    context = browser.new_context(base_url=live_server.url)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    page, troubles = context.new_page(), []
    page.add_init_script("window.hits = 0; window.hit = () => { window.hits += 1; };")

    def said(text: str) -> None:
        if "Content Security Policy" in text and not (page.url.endswith(SETS_STYLES) and "inline style" in text):
            troubles.append(f"{page.url}: {text}")

    page.on("console", lambda message: said(message.text))
    page.on("pageerror", lambda error: troubles.append(f"{page.url}: script error: {error}"))
    page.on("dialog", lambda dialog: (troubles.append("a dialog"), dialog.dismiss()))
    for address in addresses:
        page.goto(address, wait_until="load")
        page.wait_for_timeout(150)
        injected = page.evaluate(f"document.querySelectorAll('img[src=\"{MARK}\"]').length")
        hits = page.evaluate("window.hits")
        if injected or hits:
            troubles.append(f"{address}: {injected} planted elements, {hits} calls")
    context.close()
    assert len(addresses) > 10
    assert not troubles, troubles
