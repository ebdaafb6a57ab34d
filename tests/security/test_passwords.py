"""Passwords and sessions as ASVS asks for them."""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import pytest
from django.test import Client

from leukoweb.core.logs import WithoutKeys
from leukoweb.core.models import User
from leukoweb.core.services import users

pytestmark = pytest.mark.django_db
LONG = "four  words with  Blanks, ünïcödé 🩸 and much more than sixty-four characters of it, kept"


def sign_in(client: Client, user: User, password: str) -> Any:
    return client.post("/accounts/login/", {"login": user.username, "password": password})


def test_any_composition_and_length_is_taken_as_it_is(admin_user: User) -> None:
    assert len(LONG) > 64
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    secret = users.user_invite(actor=admin_user, user=person)
    assert Client().post(f"/join/{secret}/", {"password": LONG, "again": LONG}).status_code == 302
    assert sign_in(Client(), person, LONG).status_code == 302
    for other in (LONG[:64], LONG.lower(), LONG.strip("t"), LONG.replace("  ", " ")):
        assert sign_in(Client(), person, other).status_code == 200, "not truncated, folded or trimmed"
    lower = users.user_create(actor=admin_user, username="lena", role="pathologist")
    secret = users.user_invite(actor=admin_user, user=lower)
    words = "onlylowercaseletters"
    assert Client().post(f"/join/{secret}/", {"password": words, "again": words}).status_code == 302


def test_a_change_asks_for_the_current_password(pathologist: User) -> None:
    client = Client()
    sign_in(client, pathologist, "correct horse")
    new = {"password1": "a new and odd phrase", "password2": "a new and odd phrase"}
    client.post("/accounts/password/change/", {"oldpassword": "wrong", **new})
    pathologist.refresh_from_db()
    assert pathologist.check_password("correct horse")
    client.post("/accounts/password/change/", {"oldpassword": "correct horse", **new})
    pathologist.refresh_from_db()
    assert pathologist.check_password("a new and odd phrase")


def test_fields_are_masked_and_can_be_filled_by_a_manager(admin_user: User) -> None:
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    join = f"/join/{users.user_invite(actor=admin_user, user=person)}/"
    for address in ("/accounts/login/", join):
        page = Client().get(address).content.decode()
        fields = re.findall(r'<input[^>]*name="(?:password|again)"[^>]*>', page)
        assert fields, address
        for one in fields:
            assert 'type="password"' in one
            assert re.search(r'autocomplete="(current|new)-password"', one), one
            assert "onpaste" not in one


def test_a_link_that_still_works_is_in_no_log(admin_user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    (handler,) = (one for one in logging.getLogger().handlers if one.get_name() == "stderr")
    monkeypatch.setattr(handler, "stream", said)
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    secret = users.user_invite(actor=admin_user, user=person)
    assert Client().post(f"/join/{secret}/", {"password": LONG, "again": "another"}).status_code == 400
    assert "Bad Request: /join/.../" in said.getvalue()
    assert secret not in said.getvalue()


def test_a_log_call_that_does_not_fit_its_words_raises_nowhere() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%d things", ("none",), None)
    assert WithoutKeys().filter(record), "the handler reports it; the caller lives on"


def test_signing_in_changes_the_session(pathologist: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = "by somebody"
    session.save()
    before = session.session_key
    assert sign_in(client, pathologist, "correct horse").status_code == 302
    assert client.session.session_key != before
    stale = Client()
    stale.cookies["sessionid"] = before
    assert stale.get("/").status_code == 302


def test_signing_out_ends_the_session_and_clears_the_cache(pathologist: User) -> None:
    client = Client()
    sign_in(client, pathologist, "correct horse")
    key = client.session.session_key
    response = client.post("/accounts/logout/")
    assert response["Clear-Site-Data"] == '"cache"'
    stale = Client()
    stale.cookies["sessionid"] = key
    assert stale.get("/").status_code == 302, "the server has forgotten it"
    assert "Clear-Site-Data" not in Client().post("/accounts/logout/")
