"""What every answer says about itself."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from tests.conftest import BACKEND
from tests.security.test_routes import ROLES, ROWS
from tests.security.world import make_world

HOSTILE = ['a"; filename="x.html', "a\r\nSet-Cookie: x=1", "../../etc/passwd", "\u202egpj.exe", "", "=1+1", "ü" * 300]


@pytest.mark.django_db
def test_every_answer_says_what_it_is(settings: Any) -> None:
    """Type with charset, nosniff, policy, framing, referrer and caching on every GET of the program, for each role."""
    world, wrong = make_world(), []
    for role in ROLES[1:]:
        client = Client(raise_request_exception=False)
        client.force_login(world.users[role], backend=BACKEND)
        for row in ROWS.values():
            if "GET" not in row.methods or row.address.startswith("accounts/logout"):
                continue
            response = client.get(row.url)
            kind = response.get("Content-Type", "")
            if response.status_code in (204, 302) and not response.content:
                continue
            if not kind or (kind.startswith("text/") and "charset=" not in kind):
                wrong.append((row.address, "type", kind))
            policy = response.get("Content-Security-Policy", "")
            if "object-src 'none'" not in policy or "base-uri 'none'" not in policy or "unsafe" in policy:
                wrong.append((row.address, "policy", policy))
            for name, value in {
                "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
            }.items():  # fmt: skip
                if response.get(name) != value:
                    wrong.append((row.address, name, response.get(name)))
            if not re.search(r"no-store|no-cache|private", response.get("Cache-Control", "")):
                wrong.append((row.address, "caching", response.get("Cache-Control")))
    assert not wrong, wrong[:20]


@pytest.mark.django_db
def test_no_other_origin_is_let_in(admin_user: Any) -> None:
    client = Client()
    client.force_login(admin_user, backend=BACKEND)
    for address in ("/", "/api/v1/models/", "/users/", "/accounts/login/", "/healthz"):
        for origin in ("https://evil.example", "null"):
            for method in ("get", "options"):
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                response = getattr(client, method)(address, headers=asked)
                assert not [name for name in response.headers if name.lower().startswith("access-control-")], address


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_downloads_cannot_break_a_header(name: str) -> None:
    from cases.services.dataset_exports import export_name
    from inference.services.archives import archive_name

    version: Any = SimpleNamespace(name=name, version=name)
    for made in (export_name(SimpleNamespace(name=name, version=1), "folders"), archive_name(version)):  # type: ignore[arg-type]
        assert re.fullmatch(r"[A-Za-z0-9._-]+\.zip", made), made
        assert made[0] not in ".-", made
