"""Invitations, roles and the Users page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.account.utils import filter_users_by_email
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.services import users
from tests.conftest import BACKEND

pytestmark = pytest.mark.django_db


def test_a_link_sets_a_password_once_and_signs_in(client: Client, admin_user: Any) -> None:
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist", full_name="Rosa Lind")
    secret = users.user_invite(actor=admin_user, user=person)
    page = client.get(reverse("join", args=[secret]))
    assert page.status_code == 200
    data = {"password": "a long and odd phrase", "again": "a long and odd phrase"}
    assert client.post(reverse("join", args=[secret]), data).status_code == 302
    assert client.get("/").status_code == 200
    person.refresh_from_db()
    assert person.check_password("a long and odd phrase")
    assert client.get(reverse("join", args=[secret])).status_code == 404, "the link is used up"


def test_a_link_does_not_get_past_a_second_factor(client: Client, as_role: Callable[[str], Client]) -> None:
    """The password is set; who has no code stays outside until an admin removes the factor, which is on record."""
    admin, other = as_role("admin"), as_role("admin")
    rosa: User = other.user  # type: ignore[attr-defined]
    address = reverse("user_second_factor_remove", args=[rosa.pk])
    assert admin.post(address).status_code == 409, "there is none"
    codes = RecoveryCodes.activate(rosa).get_unused_codes()
    Authenticator.objects.create(user=rosa, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})
    data = {"password": "a long and odd phrase", "again": "a long and odd phrase"}
    link = reverse("join", args=[users.user_invite(actor=admin.user, user=rosa)])  # type: ignore[attr-defined]
    client.force_login(User.objects.create_user("lena", role="technician"), backend=BACKEND)
    assert client.post(link, data)["Location"] == reverse("mfa_authenticate")
    rosa.refresh_from_db()
    assert rosa.check_password(data["password"])
    assert client.get(reverse("user_list"))["Location"].startswith("/accounts/login/"), "neither rosa nor lena"
    assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert client.get("/").status_code == 302
    assert client.post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == 302
    assert client.get(reverse("user_list")).status_code == 200

    assert client.post(address).status_code == 409, "not one's own"
    assert address in admin.get(reverse("user_list")).content.decode()
    assert admin.post(address).status_code == 302
    assert not Authenticator.objects.filter(user=rosa).exists()
    event = AuditEvent.objects.get(action="user.second_factor_remove")
    assert (event.target, event.data) == (f"user:{rosa.pk}", {"types": ["recovery_codes", "totp"]})
    link = reverse("join", args=[users.user_invite(actor=admin.user, user=rosa)])  # type: ignore[attr-defined]
    fresh = Client()
    assert fresh.post(link, data)["Location"] == "/"
    assert fresh.get(reverse("user_list")).status_code == 200


def test_a_fresh_link_ends_the_earlier_one_and_links_expire(admin_user: Any) -> None:
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    old = users.user_invite(actor=admin_user, user=person)
    new = users.user_invite(actor=admin_user, user=person)
    with pytest.raises(NotFound):
        users.invited_user(old)
    User.objects.filter(pk=person.pk).update(invite_expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        users.invited_user(new)


def test_the_secret_is_not_stored(admin_user: Any) -> None:
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    secret = users.user_invite(actor=admin_user, user=person)
    person.refresh_from_db()
    assert secret not in str(vars(person))


@pytest.mark.parametrize("password", ["short", "password1234", ""])
def test_weak_passwords_are_refused_in_words(client: Client, admin_user: Any, password: str) -> None:
    person = users.user_create(actor=admin_user, username="rosa", role="pathologist")
    secret = users.user_invite(actor=admin_user, user=person)
    response = client.post(reverse("join", args=[secret]), {"password": password, "again": password})
    assert response.status_code == 400
    person.refresh_from_db()
    assert not person.has_usable_password()


def test_a_disabled_user_is_out_at_the_next_request(as_role: Callable[[str], Client], admin_user: Any) -> None:
    client = as_role("pathologist")
    assert client.get("/").status_code == 200
    users.user_change(actor=admin_user, user=client.user, is_active=False)  # type: ignore[attr-defined]
    assert client.get("/").status_code == 302


def test_a_changed_role_counts_at_the_next_request(as_role: Callable[[str], Client], admin_user: Any) -> None:
    client = as_role("admin")
    assert client.get(reverse("user_list")).status_code == 200
    users.user_change(actor=admin_user, user=client.user, role="pathologist")  # type: ignore[attr-defined]
    assert client.get(reverse("user_list")).status_code == 403


def test_nobody_changes_their_own_rights_and_one_admin_remains(admin_user: Any, make_user: Callable[..., Any]) -> None:
    with pytest.raises(Conflict):
        users.user_change(actor=admin_user, user=admin_user, role="technician")
    second = make_user("admin")
    users.user_change(actor=second, user=admin_user, is_active=False)
    with pytest.raises(Conflict, match="At least one"):
        users.user_change(actor=admin_user, user=second, is_active=False)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_disable_each_other_at_once_one_remains(make_user: Callable[..., Any]) -> None:
    pair = [make_user("admin"), make_user("admin")]
    for way in ({"role": "technician"}, {"is_active": False}) * 5:
        User.objects.update(role="admin", is_active=True)
        start, refused = threading.Barrier(2), []

        def race(me: User, other: User, way: dict[str, Any] = way, start: Any = start, refused: Any = refused) -> None:
            start.wait()
            try:
                users.user_change(actor=me, user=other, **way)
            except Conflict as error:
                refused.append(error.message)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=race, args=(pair[i], User.objects.get(pk=pair[1 - i].pk))) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert User.objects.filter(role="admin", is_active=True).count() == 1
        assert refused == ["At least one active admin must remain."]


def test_a_change_keeps_what_somebody_else_changed_meanwhile(admin_user: Any, make_user: Callable[..., Any]) -> None:
    user = make_user("technician")
    seen_before = User.objects.get(pk=user.pk)
    users.user_change(actor=admin_user, user=user, is_active=False)
    changed = users.user_change(actor=admin_user, user=seen_before, role="pathologist")
    assert (changed.role, changed.is_active) == ("pathologist", False)


def test_an_address_is_added_corrected_and_removed_on_the_users_page(
    as_role: Callable[[str], Client], make_user: Callable[..., Any]
) -> None:
    admin, rosa = as_role("admin"), make_user("pathologist")
    address = reverse("user_email", args=[rosa.pk])
    for email in ("rosa@exmaple.org", "rosa@example.org", ""):
        assert admin.post(address, {"email": email}).status_code == 302
        rosa.refresh_from_db()
        assert rosa.email == email
    events = AuditEvent.objects.filter(action="user.email", target=f"user:{rosa.pk}").order_by("id")
    assert [event.data["after"] for event in events] == ["rosa@exmaple.org", "rosa@example.org", ""]
    assert [event.actor_id for event in events] == [admin.user.pk] * 3  # type: ignore[attr-defined]
    admin.post(address, {"email": ""})
    assert events.count() == 3, "nothing changed, nothing to record"
    response = admin.post(address, {"email": "not an address"})
    assert response.status_code == 400
    assert "valid email address" in response.content.decode()
    page = admin.get(reverse("user_list")).content.decode()
    assert f'action="{address}"' in page
    assert "no mail is sent" not in page


def test_an_address_belongs_to_one_person(admin_user: Any, make_user: Callable[..., Any]) -> None:
    rosa, lena = make_user("pathologist"), make_user("technician")
    users.user_email_set(actor=admin_user, user=rosa, email="rosa@example.org")
    with pytest.raises(Conflict, match="Another person"):
        users.user_email_set(actor=admin_user, user=lena, email="Rosa@Example.org")
    with pytest.raises(Conflict, match="Another person"):
        users.user_create(actor=admin_user, username="eve", role="technician", email="ROSA@example.org")
    lena.refresh_from_db()
    assert lena.email == ""
    users.user_email_set(actor=admin_user, user=rosa, email="Rosa@example.org")


def test_an_address_that_was_corrected_signs_nobody_in(admin_user: Any, make_user: Callable[..., Any]) -> None:
    rosa = make_user("pathologist")
    EmailAddress.objects.create(user=rosa, email="old@example.org", verified=True)
    users.user_email_set(actor=admin_user, user=rosa, email="new@example.org")
    assert filter_users_by_email("old@example.org") == []
    assert filter_users_by_email("new@example.org") == [rosa]


def test_bad_names_and_roles_are_refused(admin_user: Any) -> None:
    for name, role in [("a b", "admin"), ("", "admin"), ("rosa", "king")]:
        with pytest.raises(DomainError):
            users.user_create(actor=admin_user, username=name, role=role)
    users.user_create(actor=admin_user, username="rosa", role="admin")
    with pytest.raises(Conflict, match="taken"):
        users.user_create(actor=admin_user, username="rosa", role="admin")


def test_what_no_column_could_hold_is_refused_in_words(as_role: Callable[[str], Client]) -> None:
    """PostgreSQL takes neither a longer text than its column nor a NUL."""
    client = as_role("admin")
    long = {"username": "rosa", "role": "pathologist", "full_name": "R" * 151}
    answer = client.post(reverse("user_create"), long)
    assert (answer.status_code, User.objects.filter(username="rosa").exists()) == (400, False)
    long = {"username": "rosa", "role": "pathologist", "email": f"rosa@{'.'.join(['e' * 60] * 4)}.example.org"}
    assert client.post(reverse("user_create"), long).status_code == 400
    for name in ("R" * 151, f"Rosa {'L' * 150}"):
        with pytest.raises(DomainError, match="the limit is 150"):
            users.user_create(actor=None, username="rosa", role="pathologist", full_name=name)
    rosa = users.user_create(actor=None, username="rosa", role="pathologist")
    change = reverse("user_change", args=[rosa.pk])
    answer = client.post(change, {"role": "technician", "reason": "a\x00b"})
    assert (answer.status_code, b"Null characters" in answer.content) == (400, True)
    rosa.refresh_from_db()
    assert rosa.role == "pathologist"


def test_a_name_is_corrected_on_record(as_role: Callable[[str], Client]) -> None:
    client = as_role("admin")
    rosa = users.user_create(actor=None, username="rosa", role="pathologist", full_name="Rosa Lnid")
    address = reverse("user_name", args=[rosa.pk])
    for _ in range(2):  # the second time nothing changes and nothing is recorded
        assert client.post(address, {"full_name": " Rosa  Lind "}).status_code == 302
    rosa.refresh_from_db()
    assert str(rosa) == "Rosa Lind"
    assert b"> the name of Rosa Lind<" in client.get(reverse("user_list")).content
    assert client.post(address, {"full_name": "R" * 151}).status_code == 400
    client.post(address, {"full_name": ""})
    rosa.refresh_from_db()
    assert str(rosa) == "rosa"
    events = AuditEvent.objects.filter(action="user.name", target=f"user:{rosa.pk}").order_by("id")
    assert [event.data for event in events] == [
        {"before": "Rosa Lnid", "after": "Rosa Lind"}, {"before": "Rosa Lind", "after": ""}
    ]  # fmt: skip


def test_the_command_line_gives_an_admin_a_new_link(client: Client, settings: Any) -> None:
    """For the first admin, whose link expires, and for the only one, who lost the password."""
    settings.ALLOWED_HOSTS, settings.PRODUCTION = ["smears.example.org"], True

    def link(*words: str) -> str:
        out = StringIO()
        call_command("sign_in_link", *words, stdout=out, stderr=StringIO())
        return out.getvalue().strip()

    with pytest.raises(CommandError, match="--new-admin"):
        link("admin")
    first = link("admin", "--new-admin")
    second = link("admin", "--new-admin")
    assert first.startswith("https://smears.example.org/join/")
    assert User.objects.get(username="admin").role == "admin"
    settings.ALLOWED_HOSTS = ["testserver"]
    assert client.get(first.removeprefix("https://smears.example.org")).status_code == 404, "an earlier link is void"
    assert client.get(second.removeprefix("https://smears.example.org")).status_code == 200
    assert link("admin", "--site", "http://here/").startswith("http://here/join/")
    assert AuditEvent.objects.filter(action="user.invite").count() == 3
    User.objects.filter(username="admin").update(is_active=False)
    with pytest.raises(CommandError, match="is disabled"):
        link("admin")


def test_a_demo_user_with_another_role_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from leukoweb.demo import setup
    from leukoweb.management.commands import up

    for queue in ("starter_ensure", "first_queue", "study_queue", "demo_reconstruction", "sorting_queue", "demo_queue"):
        monkeypatch.setattr(setup, queue, lambda: None)
    setup.first_run(demo=True)
    User.objects.filter(username="coordinator").update(role="pathologist")
    setup.first_run(demo=True)
    assert User.objects.get(username="coordinator").role == "pathologist"
    monkeypatch.setattr(up, "call_command", lambda *words, **options: None)
    monkeypatch.setattr(setup, "starter_ensure", lambda: users.user_create(actor=None, username="a b", role="admin"))
    with pytest.raises(CommandError, match="E_INVALID: The user name 'a b' cannot be used"):
        up.Command(stdout=StringIO())._prepare_database(demo=True)
    assert User.objects.count() == 4


def test_the_users_page_makes_a_link_to_copy(as_role: Callable[[str], Client]) -> None:
    client = as_role("admin")
    response = client.post(reverse("user_create"), {"username": "rosa", "role": "pathologist"})
    assert "http://testserver/join/" in response.content.decode()
    again = client.post(reverse("user_create"), {"username": "rosa", "role": "pathologist"})
    assert again.status_code == 409
    assert "is taken" in again.content.decode()


def test_sign_up_is_closed(client: Client) -> None:
    response = client.get("/accounts/signup/")
    assert "<form" not in response.content.decode().split("<main")[1]
    client.post("/accounts/signup/", {"username": "eve", "password1": "a long and odd phrase"})
    assert not User.objects.filter(username="eve").exists()


def test_a_lost_password_is_the_admins_business(client: Client) -> None:
    assert "admin" in client.get("/accounts/password/reset/").content.decode().lower()
    assert client.post("/accounts/password/reset/", {"email": "a@example.org"}).status_code == 405
