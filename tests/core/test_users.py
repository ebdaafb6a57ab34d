"""Invitations, roles and the Users page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import User
from leukoweb.core.services import users

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


def test_bad_names_and_roles_are_refused(admin_user: Any) -> None:
    for name, role in [("a b", "admin"), ("", "admin"), ("rosa", "king")]:
        with pytest.raises(DomainError):
            users.user_create(actor=admin_user, username=name, role=role)
    users.user_create(actor=admin_user, username="rosa", role="admin")
    with pytest.raises(Conflict, match="taken"):
        users.user_create(actor=admin_user, username="rosa", role="admin")


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
