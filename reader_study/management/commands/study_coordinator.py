"""``manage.py study_coordinator``: a coordinator for a study that nobody runs any more."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User
from reader_study.models import Study
from reader_study.services.studies import coordinator_appoint


class Command(BaseCommand):
    help = (
        "Make an active study coordinator the coordinator of a study whose own are all disabled or have another role. "
        "On record with the reason. Exit codes: 0, 1 refused, 2 no such study or person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", metavar="TITLE")
        parser.add_argument("username", metavar="USERNAME")
        parser.add_argument("--reason", required=True, help="kept in the record for good")

    def handle(self, *args: Any, **options: Any) -> None:
        study = Study.objects.filter(title=options["study"]).first()
        if study is None:
            raise CommandError(f"There is no study {options['study']!r}.", returncode=2)
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.", returncode=2)
        try:
            coordinator_appoint(study=study, user=user, reason=options["reason"])
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        self.stdout.write(f"{user} coordinates “{study.title}”.")
