"""Role x route, for every address (pages, API, account pages). A new address without a row in routes.txt fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from leukoweb.core.middleware import required_action
from leukoweb.core.models import Role
from leukoweb.core.permissions import ACTIONS
from tests.conftest import BACKEND
from tests.core.test_access import concrete, routes

TABLE = Path(__file__).with_name("routes.txt")
ROLES = ("visitor", "technician", "pathologist", "coordinator", "admin")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
RAW = {"api/v1/datasets/import/": "application/octet-stream"}  # bodies that are not JSON
REGEX_PART = re.compile(r"\(\?P<(\w+)>[^)]*\)")


@dataclass(frozen=True)
class Row:
    """``door`` maps a role to ``+``, ``-`` or ``?``."""

    address: str
    methods: frozenset[str]
    door: dict[str, str]

    @property
    def url(self) -> str:
        path = REGEX_PART.sub(r"<str:\1>", self.address).replace("^", "").replace("$", "")
        return concrete(path.removeprefix("/"))


def table() -> dict[str, Row]:
    rows = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        methods, *cells, address = line.split(maxsplit=6)
        assert len(cells) == len(ROLES), line
        assert set(cells) <= set("+-?"), line
        assert address not in rows, f"two rows for {address}"
        rows[address] = Row(address, frozenset(methods.split(",")), dict(zip(ROLES, cells, strict=True)))
    return rows


ROWS = table()
ADDRESSES = {path or "/": entry for path, entry in routes()}


def test_the_roles_are_those_of_the_program() -> None:
    assert set(ROLES) - {"visitor"} == set(Role.values)


def test_every_address_has_a_row() -> None:
    missing, stale = sorted(set(ADDRESSES) - set(ROWS)), sorted(set(ROWS) - set(ADDRESSES))
    assert not missing, f"say in routes.txt who may open {missing}"
    assert not stale, f"routes.txt names addresses that are gone: {stale}"


def test_the_table_says_what_the_marks_say() -> None:
    """Two descriptions of the same thing, made apart: the mark at the view and the row of the table."""
    for address, row in ROWS.items():
        action = required_action(ADDRESSES[address].callback)
        if action == "nobody":
            assert set(row.door.values()) <= {"-", "?"}, address
        elif action:
            said = {role for role in ROLES[1:] if row.door[role] == "+"}
            assert said == set(ACTIONS[action][1]), (address, action)
            assert row.door["visitor"] == "?", address


def door_of(response: Any) -> str:
    if response.status_code == 403:
        return "-"
    to_sign_in = response.status_code == 302 and "/accounts/login/" in response["Location"]
    asked = response.status_code == 401 and "json" in response.get("Content-Type", "")
    return "?" if to_sign_in or asked else "+"


@pytest.fixture
def client_of(make_user: Callable[..., Any]) -> Callable[[str], Client]:
    users = {role: make_user(role) for role in ROLES[1:]}

    def make(role: str) -> Client:
        client = Client()
        if role != "visitor":
            client.force_login(users[role], backend=BACKEND)
        return client

    return make


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_the_door_of_every_address(role: str, client_of: Callable[[str], Client]) -> None:
    client, wrong = client_of(role), []
    for address, row in ROWS.items():
        if "allauth" in getattr(ADDRESSES[address].callback, "__module__", "") or address.startswith("accounts/"):
            client = client_of(role)  # signing out is one of them
        for method in sorted(row.methods):
            response = getattr(client, method.lower())(row.url)
            if door_of(response) != row.door[role] or response.status_code >= 500:
                wrong.append((method, address, response.status_code, row.door[role]))
    assert not wrong


@pytest.mark.django_db
def test_other_methods_are_refused(client_of: Callable[[str], Client]) -> None:
    """Asked by somebody who gets past the door: what the row does not name is 405, or not there."""
    clients, wrong = {role: client_of(role) for role in ROLES}, []
    for address, row in ROWS.items():
        role = next((role for role in ROLES[1:] if row.door[role] == "+"), None)
        if role is None or address.startswith("accounts/"):
            continue
        for method in METHODS:
            if method in row.methods:
                continue
            status = getattr(clients[role], method.lower())(row.url).status_code
            if status not in (404, 405):
                wrong.append((method, address, status))
    assert not wrong


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["visitor", "admin", "coordinator", "pathologist"])
def test_nothing_is_changed_without_the_token_against_forgery(role: str, client_of: Callable[[str], Client]) -> None:
    """Every changing method of every address, with a valid session and no token: 403, whatever else is wrong."""
    client, wrong = client_of(role), []
    client.handler.enforce_csrf_checks = True
    for address, row in ROWS.items():
        if row.door[role] != "+":
            continue
        kind = {"content_type": RAW.get(address, "application/json")} if address.startswith("api/") else {}
        for method in sorted(row.methods - {"GET"}):
            status = getattr(client, method.lower())(row.url, b"{}" if kind else {}, **kind).status_code
            if status not in (403, 404):
                wrong.append((method, address, status))
    assert not wrong
