"""The server calls nobody: whatever people open and send, no connection leaves but to what the settings name."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django import forms
from django.test import Client

from tests.conftest import BACKEND
from tests.security.pages import crawl, filled
from tests.security.world import World, make_world

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESSES = ("http://169.254.169.254/latest/meta-data/", "//attacker.example/x", "file:///etc/passwd")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection and look-up of a name that Python code tries; each is refused."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        tried.append(arguments[1:] or arguments)
        raise OSError("no connection in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def test_the_trap_works(calls: list[Any]) -> None:
    import urllib.request

    with pytest.raises(OSError, match="no connection"):
        urllib.request.urlopen("http://127.0.0.1:1/", timeout=1)
    assert calls


@pytest.mark.parametrize("role", ["technician", "pathologist", "coordinator", "admin"])
def test_no_page_and_no_form_makes_the_server_call(role: str, calls: list[Any]) -> None:
    world: World = make_world()
    client = Client(raise_request_exception=False)
    client.force_login(world.users[role], backend=BACKEND)
    forms_found = [
        (address, form)
        for address, _, markup in crawl(client, each_route=1)
        for form in markup.forms
        if "logout" not in form.action and any(kind in ("text", "file") for _, kind, _ in form.fields)
    ]
    assert forms_found
    forged = {"Referer": ADDRESSES[0], "X-Forwarded-Host": "evil.example"}
    for address, form in forms_found:
        for target in ADDRESSES[:2]:
            send = client.post if form.method == "post" else client.get
            send(form.action or address, filled(form, target), headers=forged)
    assert calls == []


def test_no_form_asks_for_an_address() -> None:
    import cases.forms
    import inference.forms
    import leukoweb.core.forms
    import reader_study.conduct_forms
    import reader_study.forms

    for module in (cases.forms, inference.forms, leukoweb.core.forms, reader_study.forms, reader_study.conduct_forms):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, forms.BaseForm):
                for name, one in getattr(kind, "base_fields", {}).items():
                    assert not isinstance(one, forms.URLField), (kind, name)


def test_a_forged_host_is_refused(client: Client, settings: Any, admin_user: Any) -> None:
    """Links in mails and pages are made of the host of the request, so it must be one of ours."""
    settings.ALLOWED_HOSTS = ["smears.example.org"]
    assert client.get("/accounts/login/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/accounts/login/", headers={"Host": "smears.example.org"}).status_code == 200
