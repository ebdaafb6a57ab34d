"""``manage.py load_reconstruction``: the published study of 64 patients, rebuilt, as a finished study."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.core.models import Role, User
from reader_study.services.analyses import analysis_ensure
from reader_study.services.reconstruction import reconstruction_load


class Command(BaseCommand):
    help = "Load the reconstruction of a published reader study (no images needed) and queue its analysis. Idempotent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--coordinator", action="append", default=[], help="user name; default: every coordinator")

    def handle(self, *args: Any, **options: Any) -> None:
        people = User.objects.filter(role=Role.COORDINATOR, is_active=True)
        if options["coordinator"]:
            people = people.filter(username__in=options["coordinator"])
            unknown = set(options["coordinator"]) - set(people.values_list("username", flat=True))
            if unknown:
                raise CommandError(f"No active coordinator is called {', '.join(sorted(unknown))}.")
        study = reconstruction_load(coordinators=list(people))
        analysis = analysis_ensure(study)
        state = "its analysis is done" if hasattr(analysis, "result") else "its analysis waits for a worker"
        self.stdout.write(f"{study.title}: {study.cases.count()} cases; {state}.")
