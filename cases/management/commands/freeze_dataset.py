"""``manage.py freeze_dataset``: freeze a dataset version, or show what would be frozen."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.consensus import RULES
from cases.dataset_choices import Settings
from cases.management.failures import told_in_one_line
from cases.management.rows import cohorts_named, tasks_named
from cases.selectors.dataset_plan import Plan, dataset_plan
from cases.selectors.datasets import dataset_named
from cases.selectors.usable import Choices
from cases.services.datasets import dataset_freeze


class Command(BaseCommand):
    help = (
        "Freeze a dataset version from sorted cohorts. Exit codes: 0 frozen (or could be), 1 something stands against "
        "it, 2 wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the dataset; the next version of it is made")
        parser.add_argument("--cohort", action="append", required=True, metavar="NAME", help="repeatable")
        parser.add_argument("--task", action="append", required=True, metavar="NAME", help="sorting task; repeatable")
        parser.add_argument("--rule", choices=RULES, help="consensus; default: as each task says")
        parser.add_argument("--class-map", default="five")
        parser.add_argument("--min-images", type=int, default=3, help="per slide; default 3")
        parser.add_argument("--fraction", type=float, default=0.2, help="of patients for internal validation")
        parser.add_argument("--folds", type=int, default=0)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--sides-of", metavar="NAME:VERSION", help="patients of that version stay on their side")
        parser.add_argument("--dry-run", action="store_true", help="show only")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            choices = Choices(
                cohorts=tuple(cohorts_named(options["cohort"])),
                tasks=tuple(tasks_named(options["task"])),
                settings=Settings(
                    class_map=options["class_map"], min_images=options["min_images"], fraction=options["fraction"],
                    folds=options["folds"], seed=options["seed"],
                ),
                rule=options["rule"] or "",
                sides_of=dataset_named(options["sides_of"]) if options["sides_of"] else None,
            )  # fmt: skip
            plan = dataset_plan(choices)
            self._tell(plan)
            if plan.problems:
                raise CommandError(f"{len(plan.problems)} things stand against freezing.", returncode=1)
            if options["dry_run"]:
                return
            name = options["name"]
            version = dataset_freeze(actor=None, name=name, choices=choices, shown=plan.fingerprint(name))
        self.stdout.write(f"Frozen: {version.name}:{version.version} {version.manifest_sha256}")

    def _tell(self, plan: Plan) -> None:
        for step in plan.flow:
            self.stdout.write(f"{step.title}: {step.n_images} images, {step.n_patients} patients")
        for part in ("train", "internal"):
            for what in ("images", "patients"):
                cells = ", ".join(f"{name} {n}" for name, n in plan.counts[what][part].items())
                self.stdout.write(f"{part} {what}: {cells}")
        for check in plan.checks:
            self.stdout.write(f"{'holds' if check.passed else 'BROKEN'}: {check.title} ({check.n_looked} looked at)")
        for warning in plan.warnings:
            self.stdout.write(f"Note: {warning.message} {warning.hint}".strip())
        for problem in plan.problems:
            self.stderr.write(f"{problem.code}: {problem.message} {problem.hint}".strip())
