"""Odd requests to every operation of the API's description, over HTTP: never a 5xx, never an undescribed answer.

The short form asks each operation a few times; the long one (`make slow`, or FUZZ_CASES=2000) many times. Failing
requests are printed as curl commands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.conf import settings
from django.test import Client
from django.urls import Resolver404, resolve

from leukoweb.core.middleware import required_action
from leukoweb.core.permissions import ACTIONS
from tests.conftest import BACKEND
from tests.security.world import World, make_world

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (extra dev)")

SHORT, LONG = 3, int(os.environ.get("FUZZ_CASES", "150"))
UUID = "12345678-1234-4234-8234-123456789abc"
CAN_BE_503 = ("/fhir/", "/sr/", "/results/")  # extras that are not installed everywhere


def description() -> dict[str, Any]:
    import json

    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiJsonRenderer

    raw = SchemaGenerator().get_schema(request=None, public=True)
    return dict(json.loads(OpenApiJsonRenderer().render(raw)))


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


@pytest.fixture
def sessions(world: World) -> Iterator[dict[str, requests.Session]]:
    """A signed-in session for each role. Each request carries the token against forgery, as our pages' scripts do."""
    made = {}
    for role, user in world.users.items():
        client = Client()
        client.force_login(user, backend=BACKEND)
        session = requests.Session()
        session.trust_env = False
        session.cookies.set(settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value)
        session.cookies.set("csrftoken", "a" * 32)
        session.headers["X-CSRFToken"] = "a" * 32
        made[role] = session
    yield made
    for session in made.values():
        session.close()


def role_for(path: str) -> str:
    """Somebody who gets past the door: the first role of the action, a coordinator before an admin."""
    for value in (UUID, "1"):
        try:
            view = resolve(re.sub(r"{(?!item_id)\w+}", value, path).replace("{item_id}", "1")).func
        except Resolver404:
            continue
        action = required_action(view)
        assert action is not None, path
        return sorted(ACTIONS[action][1])[0]
    raise AssertionError(f"nothing answers at {path}")


def real_ids(world: World, path: str) -> dict[str, Any]:
    for prefix, ids in world.ids.items():
        if path.startswith(f"/{prefix}"):
            return {name: str(value) for name, value in ids.items() if f"{{{name}}}" in path}
    return {}


def fuzz(world: World, sessions: dict[str, requests.Session], url: str, cases: int) -> tuple[int, list[str], set[str]]:
    """Returns how many requests were sent, what was wrong with the answers, and the operations that were asked."""
    from hypothesis import HealthCheck, Phase, given, seed, strategies
    from hypothesis import settings as how
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    schema = schemathesis.openapi.from_dict(description())
    sent, wrong, asked = 0, [], set()
    for found in schema.get_all_operations():
        operation = found.ok()
        session, ids = sessions[role_for(operation.path)], real_ids(world, operation.path)
        modes = [
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        ]

        @seed(1)
        @how(max_examples=cases, deadline=None, database=None, phases=[Phase.generate],
             suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(data=strategies.data())
        def ask(data: Any) -> None:
            nonlocal sent
            case = data.draw(strategies.one_of(*modes), label="request")
            if ids and data.draw(strategies.integers(0, 3)):
                case.path_parameters = {**case.path_parameters, **ids}
            response = case.call(base_url=url, session=session, timeout=60)
            sent += 1
            if response.status_code == 503 and operation.path.endswith(CAN_BE_503):
                return
            try:
                case.validate_response(response, checks=checks)
            except BaseExceptionGroup as group:
                wrong.append(f"{operation.label}: {'; '.join(str(e) for e in group.exceptions)[:900]}")
            except AssertionError as error:
                wrong.append(f"{operation.label}: {str(error)[:900]}")

        try:
            ask()
        except Exception as error:
            if type(error).__name__ not in ("Unsatisfiable",):
                raise
        asked.add(operation.label)
    return sent, wrong, asked


def check(world: World, sessions: dict[str, requests.Session], url: str, cases: int) -> None:
    sent, wrong, asked = fuzz(world, sessions, url, cases)
    print(f"{sent} requests to {len(asked)} operations")
    assert len(asked) >= 40
    assert sent >= len(asked)
    seen = {text.split(":")[0]: text for text in reversed(wrong)}
    assert not wrong, "\n\n".join(seen.values())


def test_odd_requests_short(world: World, sessions: dict[str, requests.Session], live_server: Any) -> None:
    check(world, sessions, live_server.url, SHORT)


@pytest.mark.slow
def test_odd_requests_long(world: World, sessions: dict[str, requests.Session], live_server: Any) -> None:
    check(world, sessions, live_server.url, LONG)


@pytest.mark.django_db
def test_no_operation_answers_a_visitor(client: Client) -> None:
    """By the description itself: whatever it names is refused without a session, in the one shape."""
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            concrete = path
            for one in operation.get("parameters", []):
                if one["in"] == "path":
                    value = UUID if one["schema"].get("format") == "uuid" else "1"
                    concrete = concrete.replace(f"{{{one['name']}}}", value)
            response = getattr(client, method)(concrete)
            assert response.status_code == 401, (method, path, response.status_code)
            assert response.json()["error"]["code"] == "E_LOGIN"


def test_the_description_holds_no_data_and_one_shape_of_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    found = description()
    assert "Warning" not in capsys.readouterr().err, "two shapes of one name, or an operation that cannot be described"
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            refusal = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert refusal == {"$ref": "#/components/schemas/Error"}, (path, method)
