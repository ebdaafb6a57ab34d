"""Role x state x own or other's, for every address under read/. A new address without a row fails."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from leukoweb.core.models import Role
from reader_study.models import ReadingSession
from tests.conftest import BACKEND
from tests.core.test_access import routes
from tests.reader_study.factories import PASSWORD, MadeStudy, make_study

pytestmark = pytest.mark.django_db
MakeUser = Callable[..., Any]

# For a pathologist who reads in the study: status by state of the own session (planned, open, sealed, void).
# Somebody else's session, and a token that never was, answer 404 in each state; other roles 403; visitors 302 or 401.
ROWS: dict[str, tuple[str, Any, dict[str, int]]] = {
    "read/": ("GET", None, dict.fromkeys(("planned", "open", "sealed", "void"), 200)),
    "read/unlock/": ("GET", None, dict.fromkeys(("planned", "open", "sealed", "void"), 200)),
    "read/unlock/here/": (
        "POST", {"password": PASSWORD, "code": ""}, dict.fromkeys(("planned", "open", "sealed", "void"), 200)
    ),
    "read/<str:session>/": ("GET", None, {"planned": 200, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/board/": ("GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/seal/": ("GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/state/": ("GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/next/": ("POST", {}, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/case/<str:case>/": ("GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/case/<str:case>/show/": (
        "POST", {}, {"planned": 404, "open": 200, "sealed": 404, "void": 404}
    ),
    "read/<str:session>/case/<str:case>/answer/": (
        "POST", {"key": str(uuid.UUID(int=1)), "version": 0, "answer": {"diagnosis": "AML"}},
        {"planned": 404, "open": 200, "sealed": 404, "void": 404},
    ),
    "read/<str:session>/case/<str:case>/seen/": (
        "POST", {"active_ms": 1, "fields": {}}, {"planned": 404, "open": 200, "sealed": 404, "void": 404}
    ),
    "read/<str:session>/image/<str:image>/": ("GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}),
    "read/<str:session>/image/<str:image>/small/": (
        "GET", None, {"planned": 404, "open": 200, "sealed": 404, "void": 404}
    ),
}  # fmt: skip
ADDRESSES = [path for path, _ in routes(get_resolver()) if path.startswith("read/")]


def test_every_address_has_a_row() -> None:
    assert set(ADDRESSES) == set(ROWS), "give the new address a row in ROWS"


def test_no_address_of_reading_lies_outside_of_the_blind_prefix() -> None:
    names = {entry.name: path for path, entry in routes(get_resolver()) if str(entry.name or "").startswith("reading_")}
    assert names
    assert all(path.startswith("read/") for path in names.values())


def tokens(session: ReadingSession) -> dict[str, str]:
    case = session.cases.order_by("position").first()
    assert case is not None
    return {"session": session.token, "case": case.token, "image": case.images.get(position=1).token}


def ask(client: Client, path: str, token: dict[str, str], *, accept: str = "application/json") -> Any:
    method, body, _ = ROWS[path]
    for name, value in token.items():
        path = path.replace(f"<str:{name}>", value)
    options: dict[str, Any] = {"headers": {"Accept": accept}}
    if method == "POST":
        options |= {"data": json.dumps(body), "content_type": "application/json"}
    return getattr(client, method.lower())(f"/{path}", **options)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def put_into(session: ReadingSession, state: str) -> None:
    from django.utils import timezone

    ReadingSession.objects.filter(pk=session.pk).update(state=state)
    if state == "open":
        session.cases.update(opened_at=timezone.now())


@pytest.fixture
def made(make_user: MakeUser) -> MadeStudy:
    return make_study(users=[make_user("pathologist", "own"), make_user("pathologist", "other")], n_cases=2, n_fields=1)


@pytest.mark.parametrize("state", ["planned", "open", "sealed", "void"])
def test_own_sessions_answer_by_their_state_and_others_never(made: MadeStudy, state: str, make_user: MakeUser) -> None:
    mine, theirs = made.session(0), made.session(1)
    put_into(mine, state)
    put_into(theirs, state)
    own = signed_in(made.readers[0].user)
    outside = signed_in(make_user("pathologist", "outside"))
    for path, (_, _, statuses) in ROWS.items():
        assert ask(own, path, tokens(mine)).status_code == statuses[state], (path, state, "own")
        if "<" in path:
            assert ask(own, path, tokens(theirs)).status_code == 404, (path, state, "other's")
            assert ask(outside, path, tokens(mine)).status_code == 404, (path, state, "not a reader")
            mixed = tokens(mine) | {"session": theirs.token}
            assert ask(own, path, mixed).status_code == 404, (path, state, "own case, other's session")


@pytest.mark.parametrize("role", [*Role.values, "visitor"])
def test_other_roles_get_nowhere(made: MadeStudy, role: str, make_user: MakeUser) -> None:
    if role == Role.PATHOLOGIST:
        return
    put_into(made.session(), "open")
    client = Client() if role == "visitor" else signed_in(make_user(role))
    expected = {"application/json": 401, "text/html": 302} if role == "visitor" else dict.fromkeys(
        ("application/json", "text/html"), 403
    )  # fmt: skip
    for path in ROWS:
        for accept, status in expected.items():
            assert ask(client, path, tokens(made.session()), accept=accept).status_code == status, (path, accept)


def test_a_reader_who_left_or_is_disabled_gets_nowhere_at_once(made: MadeStudy) -> None:
    from django.utils import timezone

    mine = made.session(0)
    put_into(mine, "open")
    client = signed_in(made.readers[0].user)
    assert ask(client, "read/<str:session>/state/", tokens(mine)).status_code == 200
    made.readers[0].withdrawn_at = timezone.now()
    made.readers[0].save()
    for path in ROWS:
        if "<" in path:
            assert ask(client, path, tokens(mine)).status_code == 404, path
    made.readers[0].user.is_active = False
    made.readers[0].user.save()
    assert ask(client, "read/<str:session>/state/", tokens(mine)).status_code == 401


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_foreign_and_random_tokens_answer_with_the_same_bytes(made: MadeStudy, accept: str) -> None:
    mine, theirs = made.session(0), made.session(1)
    put_into(mine, "open")
    put_into(theirs, "open")
    client = signed_in(made.readers[0].user)
    ask(client, "read/<str:session>/board/", tokens(mine))
    seen: set[tuple[Any, ...]] = set()
    for path in ROWS:
        if "<" not in path:
            continue
        kinds = [tokens(theirs), tokens(mine) | {"session": theirs.token}]
        kinds += [{name: secrets.token_urlsafe(16) for name in ("session", "case", "image")} for _ in range(8)]
        if "<str:case>" in path or "<str:image>" in path:
            kinds.append(tokens(theirs) | {"session": mine.token})
        for token in kinds:
            response = ask(client, path, token, accept=accept)
            headers = tuple(sorted((k, v) for k, v in response.items()))
            seen.add((response.status_code, headers, response.content))
    assert len(seen) == 1, [s[:2] for s in seen]


def test_guessed_siblings_of_an_image_are_not_there(made: MadeStudy) -> None:
    mine = made.session(0)
    put_into(mine, "open")
    client = signed_in(made.readers[0].user)
    base = f"/read/{mine.token}/image/{tokens(mine)['image']}"
    for guess in ("/cam/", "/cam.png", "_cam.png", ".jpg", "/original", "/../", "/small/x", "/%2e%2e/", "//"):
        response = client.get(base + guess, follow=True)
        assert response.status_code == 404, guess


def test_what_goes_out_with_an_image_tells_nothing(made: MadeStudy) -> None:
    mine = made.session(0)
    put_into(mine, "open")
    client = signed_in(made.readers[0].user)
    for path in ("read/<str:session>/image/<str:image>/", "read/<str:session>/image/<str:image>/small/"):
        response = ask(client, path, tokens(mine))
        assert set(response.headers) == {
            "Content-Type", "Content-Length", "Cache-Control", "Vary", "Content-Security-Policy", "Permissions-Policy",
            "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "X-Frame-Options",
        } - ({"Content-Length"} if path.endswith("small/") and "Content-Length" not in response else set())  # fmt: skip
        assert response["Cache-Control"] == "no-store, private"


def test_behind_a_proxy_the_application_names_the_file_to_the_proxy_only(made: MadeStudy, settings: Any) -> None:
    """The proxy takes X-Accel-Redirect away (tests/deploy); the other headers are those of every other image."""
    settings.ACCEL_LOCATION = "/_blobs/"
    mine = made.session(0)
    put_into(mine, "open")
    client = signed_in(made.readers[0].user)
    seen = set()
    for case in mine.cases.all():
        for image in case.images.all():
            response = client.get(f"/read/{mine.token}/image/{image.token}/")
            assert response.content == b""
            assert response["X-Accel-Redirect"].startswith("/_blobs/")
            seen.add(tuple(sorted((k, v) for k, v in response.items() if k != "X-Accel-Redirect")))
    assert len(seen) == 1


@pytest.mark.parametrize("accel", ["", "/_blobs/"])
def test_a_lost_file_answers_like_a_token_that_never_was(made: MadeStudy, settings: Any, accel: str) -> None:
    from leukoweb.core.storage import blobs

    settings.ACCEL_LOCATION = accel
    mine = made.session(0)
    put_into(mine, "open")
    client = signed_in(made.readers[0].user)
    image = mine.cases.order_by("position").first().images.get(position=1)  # type: ignore[union-attr]
    never = client.get(f"/read/{mine.token}/image/{secrets.token_urlsafe(16)}/")
    blobs().purge(image.content_sha256)
    lost = client.get(f"/read/{mine.token}/image/{image.token}/")
    assert (lost.status_code, lost.content, dict(lost.items())) == (404, never.content, dict(never.items()))
