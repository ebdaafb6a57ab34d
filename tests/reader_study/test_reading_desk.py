"""The desk over HTTP: it locks, opens again for who sits there, and is closed after the last day."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from reader_study.models import DraftReading, ReadingSession, SessionImage, StudyReader
from tests.conftest import BACKEND
from tests.reader_study.factories import PASSWORD, make_study
from tests.reader_study.journey import Journey, agreement, begun

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
START = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)
SIGNS = {"signed_name": "R. Reader", "password": PASSWORD, "agree": "on"}


@pytest.fixture
def reader(make_user: Callable[..., Any]) -> Any:
    return make_user("pathologist", "reader")


def test_the_desk_locks_after_the_idle_limit_and_opens_in_place(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, idle_minutes=10)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        token = made.session().cases.get().token
        clock.shift(9 * 60)
        assert journey.post_json(f"case/{token}/show/")[0] == 200
        clock.shift(10 * 60 + 1)
        body = {"key": str(uuid.uuid4()), "version": 0, "answer": {"diagnosis": "AML", "confidence": 3}}
        status, refused = journey.post_json(f"case/{token}/answer/", body)
        assert (status, refused["error"]["code"]) == (401, "E_LOCKED")
        assert "/read/unlock/?next=" in journey.ask("GET", journey.base + "board/")["Location"]
        wrong = journey.ask("POST", "/read/unlock/here/", {"password": "no", "code": ""}, is_json=True)
        assert wrong.status_code == 403
        right = journey.ask("POST", "/read/unlock/here/", {"password": PASSWORD, "code": ""}, is_json=True)
        assert right.status_code == 200
        assert journey.post_json(f"case/{token}/answer/", body)[0] == 200  # the very same request goes through


def test_a_locked_desk_opens_for_the_password_alone(reader: Any) -> None:
    """Neither "Go on" at the page before the board, nor another study that begins, nor the address of a field."""
    made = make_study(users=[reader], n_cases=1, n_fields=1, idle_minutes=10)
    another = make_study(users=[reader], n_cases=1, n_fields=1, title="Another", idle_minutes=10).session()
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        board, field = f"{journey.base}board/", f"{journey.base}image/{SessionImage.objects.first().token}/"
        assert journey.ask("GET", field).status_code == 200
        clock.shift(10 * 60 + 1)
        assert journey.ask("POST", journey.base, {"agreed": "on"})["Location"] == f"/read/unlock/?next={journey.base}"
        begins = journey.ask("POST", f"/read/{another.token}/", agreement(another))
        assert begins["Location"] == f"/read/unlock/?next=/read/{another.token}/"
        assert ReadingSession.objects.get(pk=another.pk).state == "planned"
        for path in (field, f"{field}small/"):
            locked = journey.ask("GET", path, is_json=True)
            assert (locked.status_code, json.loads(locked.recorded)["error"]["code"]) == (401, "E_LOCKED")
        assert journey.ask("GET", board)["Location"] == f"/read/unlock/?next={board}"
        assert journey.ask("POST", "/read/unlock/", {"password": PASSWORD, "next": board})["Location"] == board
        assert journey.ask("POST", journey.base)["Location"] == board
        for path in (board, field, f"{field}small/"):
            assert journey.ask("GET", path).status_code == 200


@pytest.mark.parametrize("by", ["passkey", "provider"])
def test_who_has_no_password_opens_a_locked_desk_too(reader: Any, by: str, settings: Any) -> None:
    """By a passkey or at the identity provider; a confirmation opens it once."""
    app = {"provider_id": "oidc", "name": "Test clinic", "client_id": "c", "secret": "s",
           "settings": {"server_url": "http://127.0.0.1:9"}}  # fmt: skip
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    made = make_study(users=[reader], n_cases=1, n_fields=1, idle_minutes=10)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        reader.set_unusable_password()
        reader.save()
        if by == "passkey":
            Authenticator.objects.create(user=reader, type="webauthn", data={})
        else:
            SocialAccount.objects.create(user=reader, provider="oidc", uid="subject")
        journey.client.force_login(reader, backend=BACKEND)
        board, unlock = f"{journey.base}board/", f"/read/unlock/?next={journey.base}board/"
        dialog = journey.ask("GET", board).recorded.decode()
        assert f'href="{unlock}">Prove who you are</a>' in dialog
        assert "Your password" not in dialog
        assert dialog.count('action="/accounts/logout/"') == 1
        clock.shift(10 * 60 + 1)
        assert journey.ask("GET", board)["Location"] == unlock
        page = journey.ask("GET", unlock).recorded.decode()
        assert ("Confirm with a passkey" if by == "passkey" else "Sign in again with Test clinic") in page
        assert "%2Fread%2Funlock%2F%3Fnext%3D" in page  # and back here
        assert "Your password" not in page
        refused = journey.ask("POST", unlock, {"next": board})
        assert (refused.status_code, "The desk opens when you prove" in refused.recorded.decode()) == (400, True)
        stored = journey.client.session
        record = {"method": "mfa", "type": "webauthn", "reauthenticated": True} if by == "passkey" else {
            "method": "socialaccount", "provider": "oidc"}  # fmt: skip
        stored["account_authentication_methods"] = [record | {"at": timezone.now().timestamp()}]
        stored["account_authentication_methods_user"] = str(reader.pk)
        stored.save()
        confirmed = journey.ask("GET", unlock).recorded.decode()
        assert "You confirmed who you are a moment ago." in confirmed
        assert journey.ask("POST", unlock, {"next": board})["Location"] == board
        assert journey.ask("GET", board).status_code == 200
        assert journey.ask("GET", f"{journey.base}seal/").status_code == 200  # it offers the same ways
        assert journey.ask("POST", unlock, {"next": board}).status_code == 400


def test_the_dialog_of_a_locked_desk_knows_the_authenticator_app(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1)
    journey = begun(made)
    dialog = journey.ask("GET", journey.base + "board/").recorded.decode()
    assert "Your password" in dialog
    assert not re.search("authenticator app|Another way", dialog)
    Authenticator.objects.create(user=reader, type="totp", data={"secret": "x"})
    Authenticator.objects.create(user=reader, type="webauthn", data={})
    dialog = journey.ask("GET", journey.base + "board/").recorded.decode()
    assert "Or the code of your authenticator app" in dialog
    assert "Another way" in dialog


def test_reading_does_not_prolong_a_sign_in_and_signing_in_again_loses_nothing(reader: Any, settings: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, idle_minutes=60)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        token = made.session().cases.get().token
        for version in range(2 * settings.SESSION_HOURS):  # every half hour a deed at the desk
            answer = {"diagnosis": "AML" if version % 2 else "ALL", "confidence": 3}
            assert journey.answer(token, answer, version)[0] == 200
            clock.shift(30 * 60)
        clock.shift(60)
        body = {"key": str(uuid.uuid4()), "version": version + 1, "answer": {"diagnosis": "CLL", "confidence": 2}}
        status, refused = journey.post_json(f"case/{token}/answer/", body)
        assert (status, refused["error"]["code"]) == (401, "E_LOGIN"), "the board asks for the sign-in in place"
        assert DraftReading.objects.get().answer["diagnosis"] == "AML"
        journey.login()
        assert journey.post_json(f"case/{token}/answer/", body)[0] == 200  # the very same request goes through
        assert DraftReading.objects.get().answer["diagnosis"] == "CLL"


def test_unlocking_leads_nowhere_else(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1)
    journey = begun(made)
    for target in ("https://evil.example/read/", "//evil.example/read/", "/slides/1/", "/read/../slides/1/"):
        response = journey.ask("POST", "/read/unlock/", {"password": PASSWORD, "next": target})
        assert response["Location"] in ("/read/", "/read/../slides/1/")


def test_after_the_last_day_nothing_comes_in(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, closes_on="2027-01-04")
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        token = made.session().cases.get().token
        assert journey.answer(token, {"diagnosis": "AML", "confidence": 3}, 0)[0] == 200
        clock.move_to(datetime(2027, 1, 4, 22, 59, tzinfo=UTC))  # 23:59 in Berlin
        journey.login()
        assert journey.ask("POST", "/read/unlock/", {"password": PASSWORD}).status_code == 302
        assert journey.answer(token, {"diagnosis": "ALL", "confidence": 3}, 1)[0] == 200
        clock.shift(120)
        status, body = journey.answer(token, {"diagnosis": "CLL", "confidence": 3}, 2)
        assert (status, body["error"]["code"]) == (409, "E_CLOSED")


def test_the_last_day_is_told_and_when_it_is_over_there_is_no_form(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, closes_on="2027-01-04")
    waits = make_study(users=[reader], n_cases=1, n_fields=1, title="Another", closes_on="2027-01-04").session()
    told, over = "The last day of reading is", "Reading in this study ended on Monday 2027-01-04."
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        journey.read_all()
        pages = ["/read/", f"/read/{waits.token}/", journey.base, f"{journey.base}seal/"]
        for path in pages:
            shown = journey.ask("GET", path).recorded.decode()
            assert told in shown, path
            assert "Monday 2027-01-04." in shown, path
        clock.move_to(datetime(2027, 1, 4, 23, 1, tzinfo=UTC))  # 00:01 in Berlin
        journey.login()
        journey.ask("POST", "/read/unlock/", {"password": PASSWORD})
        for session in (made.session(), waits):  # the second browser has not told its zone: a day of UTC
            session.reader.time_zone = "Europe/Berlin"
            session.reader.save()
        for path in pages:
            shown = journey.ask("GET", path).recorded.decode()
            assert over in shown, path
            assert ("Your answers are kept." in shown) == (waits.token not in path), path
            assert not re.search("Sign and seal|>Begin<|>Go on<|Go on with case", shown), path
        for path, data in ((pages[1], agreement(waits)), (pages[3], SIGNS)):
            refused = journey.ask("POST", path, data)
            assert refused.status_code == 409, path
            assert over in refused.recorded.decode(), path
            assert "main-narrow" in refused.recorded.decode(), path  # the page itself, no bare error
    assert (made.session().state, ReadingSession.objects.get(pk=waits.pk).state) == ("open", "planned")


def test_west_of_greenwich_the_last_evening_is_still_the_last_day(reader: Any) -> None:
    """Who never began has told no zone: the page offers the form, and what the browser says then decides."""
    session = make_study(users=[reader], n_cases=1, n_fields=1, closes_on="2027-01-04").session()
    over = "Reading in this study ended on Monday 2027-01-04."
    with time_machine.travel(datetime(2027, 1, 5, 3, 0, tzinfo=UTC), tick=False) as clock:  # 22:00 in New York
        journey = Journey("reader", session)
        journey.login()
        page = journey.ask("GET", journey.base).recorded.decode()
        assert (over in page, ">Begin<" in page) == (False, True)
        east = journey.ask("POST", journey.base, agreement(session))
        assert (east.status_code, over in east.recorded.decode()) == (409, True)
        west = journey.ask("POST", journey.base, agreement(session) | {"time_zone": "America/New_York"})
        assert west.status_code == 302
        ReadingSession.objects.filter(pk=session.pk).update(state="planned")
        StudyReader.objects.update(time_zone="UTC", consented_at=None)
        clock.move_to(datetime(2027, 1, 5, 12, 1, tzinfo=UTC))  # over everywhere
        journey.login()
        assert over in journey.ask("GET", journey.base).recorded.decode()


def test_a_session_whose_pause_ends_after_the_last_day_says_so(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, sessions=["blinded"] * 2, closes_on="2027-02-01")
    with time_machine.travel(START, tick=False):
        journey = begun(made)
        journey.read_all()
        journey.seal()
        home = journey.ask("GET", "/read/").recorded.decode()
        assert "Opens on" not in home
        assert "This session cannot be read before the last day of reading, Monday 2027-02-01" in home
        page = journey.ask("GET", f"/read/{made.session(0, 2).token}/").recorded.decode()
        assert "That is after the last day of reading, Monday 2027-02-01." in page
        assert "Tell the study coordinator" in page
