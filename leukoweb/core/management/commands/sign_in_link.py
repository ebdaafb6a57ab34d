"""``manage.py sign_in_link NAME``: a sign-in link, for the first admin and for one who lost the password."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import Role, User
from leukoweb.core.services.users import user_create, user_invite


class Command(BaseCommand):
    help = "Print a link with which a person sets a new password; an earlier link stops working. Exit codes: 0, 2."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--new-admin", action="store_true", help="make this admin first, if nobody has the name")
        parser.add_argument("--site", default="", metavar="URL", help="default: the first of ALLOWED_HOSTS, by https")

    def handle(self, *args: Any, **options: Any) -> None:
        name, link = options["username"], ""
        try:
            with transaction.atomic():
                user = User.objects.filter(username=name).first()
                if user is None and options["new_admin"]:
                    user = user_create(actor=None, username=name, role=Role.ADMIN)
                if user is None:
                    raise CommandError(f"There is no person {name!r}. For a first admin add --new-admin.", returncode=2)
                if not user.is_active:
                    raise CommandError(f"{name} is disabled. Another admin enables people (Users page).", returncode=2)
                link = reverse("join", args=[user_invite(actor=None, user=user)])
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        self.stdout.write(f"{(options['site'] or _site()).rstrip('/')}{link}")
        self.stderr.write(f"It works once and for {settings.INVITE_HOURS} hours.")


def _site() -> str:
    host = next((host for host in settings.ALLOWED_HOSTS if host != "*"), "localhost").removeprefix(".")
    return f"https://{host}" if settings.PRODUCTION else f"http://{host}:8000"
