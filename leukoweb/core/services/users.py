"""Making, changing and disabling people, and their sign-in links."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.hooks import role_changed, would_be_left, would_end
from leukoweb.core.models import Role, User

NAME_MAX = 150  # of the columns


def _names(full_name: str) -> tuple[str, str]:
    """(first name, the rest) as they are stored."""
    name = " ".join(full_name.split())
    if len(name) > NAME_MAX:
        message = f"The name has {len(name)} characters; the limit is {NAME_MAX}."
        raise DomainError(message, field="full_name", hint="Write it shorter.")
    first, _, last = name.partition(" ")
    return first, last


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@transaction.atomic
def user_create(*, actor: User | None, username: str, role: str, full_name: str = "", email: str = "") -> User:
    """A person without a password; ``user_invite`` gives them the link that sets one."""
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise DomainError(
            f"The user name {username!r} cannot be used: {error.messages[0]}", field="username"
        ) from error
    if role not in Role.values:
        raise DomainError(f"{role!r} is not a role; choose {', '.join(Role.values)}.", field="role")
    if len(username) > NAME_MAX:
        raise DomainError(f"A user name has at most {NAME_MAX} characters.", field="username")
    _require_free(email)
    first, last = _names(full_name)
    user = User(username=username, role=role, email=email, first_name=first, last_name=last)
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise Conflict(f"The user name {username!r} is taken.", field="username") from error
    audit_record(actor=actor, action="user.create", target=f"user:{user.pk}", data={"username": username, "role": role})
    return user


@transaction.atomic
def user_invite(*, actor: User | None, user: User) -> str:
    """Make a fresh one-time secret for the sign-in link; an earlier one stops working. Only its hash is stored."""
    secret = secrets.token_urlsafe(24)
    user.invite_digest = _digest(secret)
    user.invite_expires_at = timezone.now() + timedelta(hours=settings.INVITE_HOURS)
    user.save(update_fields=["invite_digest", "invite_expires_at"])
    audit_record(actor=actor, action="user.invite", target=f"user:{user.pk}", data={"username": user.username})
    return secret


def invited_user(secret: str) -> User:
    """Whose link this is; the same refusal for unknown, used, expired and disabled."""
    user = User.objects.filter(
        invite_digest=_digest(secret), invite_expires_at__gt=timezone.now(), is_active=True
    ).first()
    if user is None:
        raise NotFound(
            "This sign-in link is not valid (any more).", code="E_LINK", hint="Ask your admin for a new one."
        )
    return user


@transaction.atomic
def invite_accept(*, secret: str, password: str) -> User:
    """Set the password and use the link up."""
    user = invited_user(secret)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise DomainError(" ".join(error.messages), code="E_PASSWORD", field="password") from error
    used = User.objects.filter(pk=user.pk, invite_digest=_digest(secret)).update(
        invite_digest="", invite_expires_at=None
    )
    if not used:
        raise Conflict("This link was used a moment ago.", code="E_LINK")
    user.refresh_from_db()
    user.set_password(password)
    user.save(update_fields=["password"])
    audit_record(actor=user, action="user.password_set", target=f"user:{user.pk}")
    return user


class ReasonNeeded(Conflict):
    """Something would end for good (``endings``), or stand still (``left``), which nobody decides in passing; each in
    words. ``role`` is the new one, None where the person is disabled."""

    code = "E_REASON"

    def __init__(self, user: User, role: str, endings: list[str], left: list[str]) -> None:
        how = f"{user} as {Role(role).label.lower()}" if role else f"{user} disabled"
        lost = f"As {Role(role).label.lower()} {user} loses for good: {'; '.join(endings)}." if endings else ""
        still = f"With {how} nobody goes on with: {'; '.join(left)}." if left else ""
        super().__init__(f"{lost} {still}".strip(), field="reason", hint="Say why; the reason goes on record.")
        self.role, self.endings, self.left = Role(role) if role else None, endings, left


@transaction.atomic
def user_change(
    *, actor: User, user: User, role: str | None = None, is_active: bool | None = None, reason: str = ""
) -> User:
    """Change a role, disable or enable. Nobody changes their own rights, and one admin always remains.

    Raises
    ------
    Conflict
        Oneself, or the last admin.
    ReasonNeeded
        The new role ends something for good, or nobody else can go on with something that the person alone does, and
        no reason is given; nothing was changed.
    """
    if actor.pk == user.pk:
        raise Conflict("You cannot change your own role or disable yourself.", hint="Ask another admin.")
    # Whoever changes rights waits here for the one before: two admins who demote each other would both see the other.
    list(User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).order_by("pk").values_list("pk"))
    user.refresh_from_db(from_queryset=User.objects.select_for_update())
    before = {"role": user.role, "is_active": user.is_active}
    if role is not None:
        if role not in Role.values:
            raise DomainError(f"{role!r} is not a role; choose {', '.join(Role.values)}.", field="role")
        if role != user.role and not reason.strip():
            endings, left = would_end(user=user, role=role), would_be_left(user=user, role=role)
            if endings or left:
                raise ReasonNeeded(user, role, endings, left)
        user.role = role
    if is_active is not None:
        leaves = user.is_active and not is_active
        if leaves and not reason.strip() and (left := would_be_left(user=user)):
            raise ReasonNeeded(user, "", [], left)
        user.is_active = is_active
    user.save(update_fields=["role", "is_active"])
    if not User.objects.filter(role=Role.ADMIN, is_active=True).exists():
        raise Conflict("At least one active admin must remain.")
    after = {"role": user.role, "is_active": user.is_active}
    if after["role"] != before["role"]:
        role_changed(actor=actor, user=user, reason=reason.strip())
    audit_record(
        actor=actor,
        action="user.change",
        target=f"user:{user.pk}",
        reason=reason,
        data={"before": before, "after": after},
    )
    return user


@transaction.atomic
def user_second_factor_remove(*, actor: User | None, user: User) -> None:
    """For somebody who lost the device and the recovery codes: remove every authenticator.

    A sign-in link alone does not get past a second factor, so this is a deed of its own, on record. Without an actor
    it is one of whoever keeps the server.

    Raises
    ------
    Conflict
        The actor's own (which are changed with a confirmation on the account pages), or there are none.
    """
    if actor is not None and actor.pk == user.pk:
        raise Conflict("Your own second step is changed on the page of your account.", hint="Or ask another admin.")
    rows = Authenticator.objects.select_for_update().filter(user=user)
    kinds = sorted(rows.values_list("type", flat=True))
    if not kinds:
        raise Conflict(f"{user} has no second step.")
    rows.delete()
    audit_record(actor=actor, action="user.second_factor_remove", target=f"user:{user.pk}", data={"types": kinds})


@transaction.atomic
def user_name_set(*, actor: User, user: User, full_name: str) -> User:
    """Correct or (empty) remove somebody's name. What was signed or exported under the old one keeps it.

    Raises
    ------
    DomainError
        The name is too long.
    """
    user.refresh_from_db(from_queryset=User.objects.select_for_update())
    before = user.get_full_name()
    user.first_name, user.last_name = _names(full_name)
    if user.get_full_name() == before:
        return user
    user.save(update_fields=["first_name", "last_name"])
    data = {"before": before, "after": user.get_full_name()}
    audit_record(actor=actor, action="user.name", target=f"user:{user.pk}", data=data)
    return user


@transaction.atomic
def user_email_set(*, actor: User, user: User, email: str) -> User:
    """Add, correct or (empty) remove the address that invitations and reminders go to.

    An identity provider's verified address signs in the person who has it here, so no two people have the same one, and
    an address that was corrected signs nobody in any more.

    Raises
    ------
    Conflict
        Somebody else has it.
    """
    user.refresh_from_db(from_queryset=User.objects.select_for_update())
    before, user.email = user.email, User.objects.normalize_email(email.strip())
    if user.email == before:
        return user
    _require_free(user.email, but=user)
    user.save(update_fields=["email"])
    EmailAddress.objects.filter(user=user).exclude(email__iexact=user.email).delete()
    audit_record(
        actor=actor, action="user.email", target=f"user:{user.pk}", data={"before": before, "after": user.email}
    )
    return user


def _require_free(email: str, but: User | None = None) -> None:
    others = User.objects.exclude(pk=but.pk) if but is not None else User.objects.all()
    if email and others.filter(email__iexact=email).exists():
        raise Conflict(f"Another person has the address {email}.", field="email", hint="Each address is one person's.")
