"""Deny by default: every route is marked, and the role x action table holds for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from leukoweb.core.middleware import required_action
from leukoweb.core.models import Role
from leukoweb.core.permissions import ACTIONS

PUBLIC = {"healthz", "metrics", "join/<str:secret>/"}  # and the account pages, which allauth guards


def routes(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


OURS = [(path, entry) for path, entry in routes() if not path.startswith("accounts/")]


@pytest.mark.parametrize(("path", "entry"), OURS, ids=[path or "/" for path, _ in OURS])
def test_every_route_names_a_known_action(path: str, entry: URLPattern) -> None:
    action = required_action(entry.callback)
    if action is None:
        assert path in PUBLIC, f"{path} is open to the world; mark it with @requires"
    else:
        assert action in ACTIONS, f"{path} has no @requires mark; nobody can open it"


def concrete(path: str) -> str:
    import re

    def value(match: re.Match[str]) -> str:
        kind = match.group(1)
        return {"int": "999999", "uuid": "12345678-1234-4234-8234-123456789abc"}.get(kind, "model_1")

    return "/" + re.sub(r"<(?:(\w+):)?\w+>", value, path)


@pytest.mark.django_db
def test_an_unmarked_view_is_refused_to_everybody(as_role: Callable[[str], Client], settings: Any) -> None:
    import types

    from django.http import HttpResponse
    from django.urls import path as route

    settings.ROOT_URLCONF = types.ModuleType("planted_urls")
    leak = route("leak/", lambda request: HttpResponse("secret"))
    settings.ROOT_URLCONF.urlpatterns = [leak, *get_resolver("leukoweb.urls").url_patterns]
    for role in Role.values:
        assert b"secret" not in as_role(role).get("/leak/").content


@pytest.mark.django_db
def test_security_headers(client: Client) -> None:
    response = client.get("/accounts/login/")
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["Cache-Control"] == "no-store" or "no-cache" in response["Cache-Control"]


@pytest.mark.django_db
def test_healthz(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


@pytest.mark.django_db
def test_the_last_error_page_asks_no_database(rf: Any, django_assert_num_queries: Any, admin_user: Any) -> None:
    from leukoweb.core.views.errors import server_error

    request = rf.get("/")
    request.user = admin_user
    with django_assert_num_queries(0):
        response = server_error(request)
    assert response.status_code == 500
    assert b"Nothing was half-saved" in response.content
