"""``manage.py sorting_task``: make or close a sorting task."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.consensus import RULES, ConsensusRule
from cases.management.failures import told_in_one_line
from cases.models import SortingTask
from cases.services.sorting_tasks import task_close, task_create, task_request
from leukoweb.core.models import User


class Command(BaseCommand):
    help = "Make a sorting task, or close one with --close. Exit codes: 0 done, 2 nothing was changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--cohort", action="append", default=[], help="name of a cohort; may be given again")
        for part in ("sorter", "senior", "adjudicator"):
            parser.add_argument(f"--{part}", action="append", default=[], help="user name; may be given again")
        parser.add_argument("--assignment", choices=SortingTask.Assignment.values, default="all")
        parser.add_argument("--overlap-percent", type=int, default=100)
        parser.add_argument("--adjudication", choices=SortingTask.Adjudication.values, default="blind")
        parser.add_argument("--rule", choices=RULES, default="adjudicated")
        parser.add_argument("--min-decisions", type=int, default=0)
        parser.add_argument("--panel-min", type=int, default=1)
        parser.add_argument("--instructions", type=Path, help="a text file")
        parser.add_argument("--seed", type=int, help="to deal and order in the same way again")
        parser.add_argument("--close", action="store_true")
        parser.add_argument("--actor", help="user name of the admin who closes the task")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            if options["close"]:
                self._close(options)
                return
            text = options["instructions"].read_text(encoding="utf-8") if options["instructions"] else ""
            rule = ConsensusRule(
                options["rule"], min_decisions=options["min_decisions"], panel_min=options["panel_min"]
            )
            request = task_request(
                {
                    "name": options["name"], "cohorts": options["cohort"], "sorters": options["sorter"],
                    "seniors": options["senior"], "adjudicators": options["adjudicator"],
                    "assignment": options["assignment"], "overlap_percent": options["overlap_percent"],
                    "adjudication": options["adjudication"], "instructions": text, "seed": options["seed"],
                }
            )  # fmt: skip
            task = task_create(actor=None, rule=rule, **request)
        for seat in task.seats.select_related("user").order_by("pk"):
            self.stdout.write(f"{seat.user.username}: {seat.get_part_display()}, {seat.items.count()} images")
        self.stdout.write(f"Task {task.name!r} was made with seed {task.seed}.")

    def _close(self, options: dict[str, Any]) -> None:
        task = SortingTask.objects.filter(name=options["name"]).first()
        actor = User.objects.filter(username=options["actor"] or "").first()
        if task is None or actor is None:
            raise CommandError("Closing needs the name of a task and --actor with a user name.", returncode=2)
        task_close(actor=actor, task=task)
        self.stdout.write(f"Task {task.name!r} is closed.")
