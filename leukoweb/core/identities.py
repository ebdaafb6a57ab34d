"""Which sign-ins at an identity provider belong to whom changes on record: such a row is a way in."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.http import HttpRequest

from leukoweb.core.audit import audit_record
from leukoweb.core.http import person


def _added(request: HttpRequest, sociallogin: Any, **kwargs: Any) -> None:
    user, account = sociallogin.user, sociallogin.account
    audit_record(
        actor=user, action="user.identity_add", target=f"user:{user.pk}",
        data={"provider": account.provider, "subject": account.uid},
    )  # fmt: skip


def _removed(request: HttpRequest, socialaccount: Any, **kwargs: Any) -> None:
    audit_record(
        actor=person(request), action="user.identity_remove", target=f"user:{socialaccount.user_id}",
        data={"provider": socialaccount.provider, "subject": socialaccount.uid},
    )  # fmt: skip


social_account_added.connect(_added, dispatch_uid="leukoweb.identities.added")
social_account_removed.connect(_removed, dispatch_uid="leukoweb.identities.removed")
