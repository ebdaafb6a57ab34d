"""Sign-in: limits that hold over processes, a second factor by role, an identity provider, people who are disabled."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from leukoweb.core.jobs.daily import daily_create
from leukoweb.core.models import AuditEvent, Job, User
from tests.conftest import BACKEND
from tests.support.oidc import CLIENT_ID, CLIENT_SECRET, Provider, provider


@pytest.fixture
def oidc(settings: Any) -> Iterator[Provider]:
    with provider() as running:
        app = {"provider_id": "oidc", "name": "Test clinic", "client_id": CLIENT_ID, "secret": CLIENT_SECRET,
               "settings": {"server_url": running.url}}  # fmt: skip
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield running


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def sign_in_by_provider(client: Client, query: str = "") -> Any:
    """As a browser does it: our button, the provider's page, our callback."""
    start = client.post(f"/accounts/oidc/oidc/login/{query}")
    assert start.status_code == 302, start.content[:300]
    try:
        urllib.request.build_opener(NoRedirects).open(start["Location"])
        raise AssertionError("the provider did not send us back")
    except urllib.error.HTTPError as answer:
        back = answer.headers["Location"]
    return client.get(back[back.index("/accounts/") :])


def signed_in(client: Client) -> int | None:
    key = client.session.get("_auth_user_id")
    return int(key) if key else None


def test_a_provider_signs_in_whom_an_admin_made_and_nobody_else(oidc: Provider, pathologist: User, db: None) -> None:
    User.objects.filter(pk=pathologist.pk).update(email="p@example.org")
    client = Client()
    assert b"Test clinic" in client.get("/accounts/login/").content
    sign_in_by_provider(client)
    assert signed_in(client) == pathologist.pk

    User.objects.filter(pk=pathologist.pk).update(email="changed@example.org")
    again = Client()
    sign_in_by_provider(again)
    assert signed_in(again) == pathologist.pk  # from the second time on the provider's subject tells who it is

    for stranger in (
        {"sub": "s-2", "email": "nobody@example.org", "email_verified": True},
        {"sub": "s-3", "email": "changed@example.org", "email_verified": False},
    ):
        oidc.person = stranger
        visitor = Client()
        response = sign_in_by_provider(visitor)
        assert (signed_in(visitor), response.status_code < 500) == (None, True), stranger
    assert User.objects.count() == 1


def test_a_minute_at_an_unlocked_browser_connects_no_other_sign_in(
    oidc: Provider, as_role: Callable[[str], Client]
) -> None:
    """Without the password (or second factor); with it, it is on record, and so is its end."""
    client = as_role("pathologist")
    user: User = client.user  # type: ignore[attr-defined]
    oidc.person = {"sub": "thief", "email": "thief@example.org", "email_verified": True}
    answer = sign_in_by_provider(client, "?process=connect")
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert not SocialAccount.objects.exists()
    assert client.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code == 200
    assert not SocialAccount.objects.exists()
    assert client.post("/accounts/reauthenticate/", {"password": "correct horse"}).status_code == 302
    account = SocialAccount.objects.get(user=user)
    assert client.post("/accounts/3rdparty/", {"account": account.pk}).status_code == 302
    assert not SocialAccount.objects.exists()
    events = AuditEvent.objects.filter(action__startswith="user.identity_").order_by("pk")
    assert [(event.action, event.actor_id, event.data["subject"]) for event in events] == [
        ("user.identity_add", user.pk, "thief"), ("user.identity_remove", user.pk, "thief"),
    ]  # fmt: skip

    nothing_to_confirm = as_role("technician")
    other: User = nothing_to_confirm.user  # type: ignore[attr-defined]
    other.set_unusable_password()
    other.save()
    nothing_to_confirm.force_login(other, backend=BACKEND)
    assert sign_in_by_provider(nothing_to_confirm, "?process=connect")["Location"] == "/"
    assert not SocialAccount.objects.exists()
    page = nothing_to_confirm.get("/accounts/password/set/").content.decode()
    assert "new_password" not in page, "no password out of nothing either"
    assert nothing_to_confirm.post("/accounts/password/set/", {"password1": "x", "password2": "x"}).status_code == 405


def test_who_has_only_a_provider_sets_up_a_second_factor_shortly_after_a_sign_in(
    oidc: Provider, make_user: Callable[..., Any]
) -> None:
    """Not in a minute at an unlocked browser: there is no password to ask for."""
    user = make_user("pathologist")
    User.objects.filter(pk=user.pk).update(email="p@example.org", password="!")
    client, began = Client(), timezone.now()
    sign_in_by_provider(client)
    assert signed_in(client) == user.pk

    def set_up() -> Any:
        assert client.get("/accounts/2fa/totp/activate/").status_code == 200
        secret = client.session["mfa.totp.secret"]
        now = int(timezone.now().timestamp()) // 30
        return client.post("/accounts/2fa/totp/activate/", {"code": format_hotp_value(hotp_value(secret, now))})

    with time_machine.travel(began + timedelta(minutes=6), tick=False):
        assert set_up()["Location"] == "/accounts/2fa/"
        assert not Authenticator.objects.exists()
        assert "Sign out and in again first" in client.get("/accounts/2fa/").content.decode()
        client.post("/accounts/logout/")
        sign_in_by_provider(client)
        assert set_up().status_code == 302
        assert Authenticator.objects.filter(user=user, type="totp").exists()


def test_an_address_that_one_adds_oneself_signs_nobody_in(oidc: Provider, as_role: Callable[[str], Client]) -> None:
    client = as_role("pathologist")
    user: User = client.user  # type: ignore[attr-defined]
    assert client.get("/accounts/email/").status_code == 404
    assert client.post("/accounts/email/", {"email": "p@example.org", "action_add": ""}).status_code == 404
    for verified in (False, True):
        EmailAddress.objects.update_or_create(user=user, email="p@example.org", defaults={"verified": verified})
        visitor = Client()
        sign_in_by_provider(visitor)
        assert (signed_in(visitor), SocialAccount.objects.count()) == (None, 0)
    user.refresh_from_db()
    assert user.has_usable_password()
    User.objects.filter(pk=user.pk).update(email="P@example.org")
    visitor = Client()
    sign_in_by_provider(visitor)
    assert signed_in(visitor) == user.pk
    assert AuditEvent.objects.get(action="user.identity_add").target == f"user:{user.pk}"


def test_a_disabled_person_is_refused_at_the_next_request(as_role: Callable[[str], Client], oidc: Provider) -> None:
    client = as_role("pathologist")
    assert client.get("/").status_code == 200
    User.objects.filter(pk=client.user.pk).update(is_active=False, email="p@example.org")  # type: ignore[attr-defined]
    assert client.get("/").status_code == 302
    answer = sign_in_by_provider(client)
    assert answer["Location"].endswith("/accounts/inactive/")
    assert client.get("/").status_code == 302


@pytest.mark.both_databases
def test_the_limit_of_wrong_passwords_is_counted_in_the_database(pathologist: User) -> None:
    """In the database, so it holds over web processes: another process's cache object sees the same counts.

    By name alone: another address is no way past it, nor is another port behind the host, which a client makes up.
    """
    wrong = {"login": pathologist.username, "password": "wrong"}
    answers = [
        Client().post("/accounts/login/", wrong, HTTP_HOST=f"testserver:{8000 + n}", REMOTE_ADDR=f"10.0.0.{n}")
        for n in range(7)
    ]
    told = [b"Too many failed" in answer.content for answer in answers]
    assert told == [False] * 5 + [True] * 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM leukoweb_cache")
        assert cursor.fetchone()[0] > 0
    right = Client().post("/accounts/login/", {"login": pathologist.username, "password": "correct horse"})
    assert right.status_code == 200  # still locked, also with the right password
    caches["default"].clear()
    right = Client().post("/accounts/login/", {"login": pathologist.username, "password": "correct horse"})
    assert right.status_code == 302


def test_a_role_can_be_made_to_use_a_second_factor(as_role: Callable[[str], Client], settings: Any) -> None:
    settings.MFA_REQUIRED_ROLES = {"admin"}
    admin, technician = as_role("admin"), as_role("technician")
    assert technician.get("/").status_code == 200
    assert admin.get("/jobs/")["Location"] == "/accounts/2fa/"
    assert admin.get("/api/v1/jobs/").json()["error"]["code"] == "E_MFA"
    assert admin.get("/accounts/2fa/").status_code == 200
    assert admin.post("/accounts/logout/").status_code == 302
    admin.force_login(admin.user, backend="django.contrib.auth.backends.ModelBackend")  # type: ignore[attr-defined]
    Authenticator.objects.create(user=admin.user, type="totp", data={"secret": "x"})  # type: ignore[attr-defined]
    assert admin.get("/jobs/").status_code == 200


def test_a_session_ends_after_its_hours_whatever_one_does(as_role: Callable[[str], Client], settings: Any) -> None:
    client = as_role("technician")
    began = timezone.now()
    for hours, status in ((1, 200), (7, 200), (settings.SESSION_HOURS, 302)):
        with time_machine.travel(began + timedelta(hours=hours, minutes=1), tick=False):
            assert client.get("/").status_code == status, hours
    assert client.cookies[settings.SESSION_COOKIE_NAME]["max-age"] in ("", 0)  # no request prolonged it


def test_work_does_not_prolong_a_session(as_role: Callable[[str], Client], settings: Any) -> None:
    """What is written into it (here a message an hour) renews Django's own expiry, and does not count."""
    client = as_role("admin")
    other, key = User.objects.create_user("rosa", role="technician"), client.session.session_key
    began, limit = timezone.now(), settings.SESSION_HOURS
    for hours in range(1, limit):
        with time_machine.travel(began + timedelta(hours=hours), tick=False):
            answer = client.post(f"/users/{other.pk}/email/", {"email": f"rosa{hours}@example.org"}, follow=True)
            assert f"rosa{hours}@example.org" in answer.content.decode()
    with time_machine.travel(began + timedelta(hours=limit, minutes=1), tick=False):
        assert Session.objects.get(pk=key).expire_date > timezone.now(), "Django would let it live"
        assert client.get("/users/").status_code == 302
        assert not Session.objects.filter(pk=key).exists()
        client.force_login(client.user, backend=BACKEND)  # type: ignore[attr-defined]
        assert client.get("/users/").status_code == 200
    with time_machine.travel(began + timedelta(hours=limit + 7), tick=False):
        assert client.get("/").status_code == 200, "signing in again begins anew"


def test_a_session_from_before_sign_ins_were_stamped_ends_too(pathologist: User, settings: Any) -> None:
    client, began = Client(), timezone.now()
    client.force_login(pathologist, backend=BACKEND)
    session = client.session
    del session["signed_in_at"]
    session.save()
    assert client.get("/").status_code == 200
    assert "signed_in_at" in client.session
    Session.objects.update(expire_date=began + timedelta(days=9))
    with time_machine.travel(began + timedelta(hours=settings.SESSION_HOURS, minutes=1), tick=False):
        assert client.get("/").status_code == 302


def test_a_new_password_ends_every_other_session(pathologist: User) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        assert client.login(username=pathologist.username, password="correct horse")
        assert client.get("/").status_code == 200
    new = "an-unlikely-sentence-9"
    data = {"oldpassword": "correct horse", "password1": new, "password2": new}
    assert here.post("/accounts/password/change/", data).status_code == 302
    assert elsewhere.get("/").status_code == 302
    assert here.get("/").status_code in (200, 302)
    assert Client().login(username=pathologist.username, password=new)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (0, "6.6.6.6", "127.0.0.1"),
        (1, "6.6.6.6, 192.0.2.7", "192.0.2.7"),  # nginx appends the peer; what the client wrote stands before it
        (2, "6.6.6.6, 192.0.2.7, 10.0.0.1", "192.0.2.7"),  # a balancer at 10.0.0.1, which appends too
        (2, "10.0.0.1", "10.0.0.1"),  # past the balancer, or one that does not append: no error, all count together
    ],
)
def test_the_address_that_counts_is_one_that_our_proxies_saw(
    proxies: int, forwarded: str, counted: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded})
    assert get_adapter().get_client_ip(request) == counted
    assert ("TRUSTED_PROXIES is 2" in caplog.text) == (forwarded == "10.0.0.1")


@pytest.mark.django_db
def test_expired_sign_ins_are_removed_once_a_day(as_role: Any, run_jobs: Any) -> None:
    as_role("admin").get("/")
    live = Session.objects.get()
    Session.objects.create(session_key="old", session_data="x", expire_date=timezone.now() - timedelta(minutes=1))
    daily_create()
    run_jobs()
    assert Session.objects.get() == live
    assert Job.objects.get(kind="core.clear_sessions").note == "1 expired sign-in removed."
