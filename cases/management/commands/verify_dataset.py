"""``manage.py verify_dataset``: are the rows of frozen versions still those of their manifests?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.management.failures import told_in_one_line
from cases.selectors.datasets import dataset_list, dataset_named, dataset_problems


class Command(BaseCommand):
    help = (
        "Compare dataset versions with their stored manifests. Exit codes: 0 unchanged, 1 changed, 2 wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", nargs="?", metavar="NAME[:VERSION]", help="default: every version")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            versions = [dataset_named(options["version"])] if options["version"] else list(dataset_list())
            found = [(version, problem) for version in versions for problem in dataset_problems(version)]
        for version, problem in found:
            self.stderr.write(f"{version}: {problem}")
        if found:
            raise CommandError(f"{len({v.pk for v, _ in found})} versions are not what was frozen.", returncode=1)
        self.stdout.write(f"{len(versions)} versions, all unchanged.")
