"""``manage.py sorting_agreement``: how far the sorters of a task agree."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.agreement import PairReport, agreement_report
from cases.management.failures import told_in_one_line
from cases.models import SortingTask
from cases.selectors.sorting_agreement import sorted_table
from leukoweb.statistics.ratings_report import interval_text, printed
from leukoweb.statistics.results import Estimate


class Command(BaseCommand):
    help = (
        "Kappa of each pair of sorters with patient-clustered intervals, agreement per class, over time and per "
        "device. Exit codes: 0 done, 1 no two sorters share an image, 2 there is no such task."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", help="name of the task")
        parser.add_argument("--labels-only", action="store_true", help="leave out images without a label from both")
        parser.add_argument("--json", type=Path, help="write the whole report to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            task = SortingTask.objects.select_related("taxonomy").filter(name=options["task"]).first()
            if task is None:
                names = ", ".join(SortingTask.objects.values_list("name", flat=True)) or "none"
                raise CommandError(f"There is no task {options['task']!r}. There are: {names}.", returncode=2)
            table = sorted_table(task)
            report = agreement_report(table.labels_only() if options["labels_only"] else table)
        if options["json"]:
            options["json"].write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
        if report.chosen is None:
            raise CommandError("No two sorters have decided the same image yet.", returncode=1)
        for pair in report.pairs:
            self._pair(pair)
        if report.together:
            self.stdout.write(f"All sorters together (Fleiss): {words(report.together)}")
        self._detail(report.chosen, report.classes)

    def _pair(self, pair: PairReport) -> None:
        found = pair.found
        self.stdout.write(
            f"{pair.first} and {pair.second}: {found.n_images} images of {found.n_patients} patients, "
            f"kappa {words(found.kappa)}, the same said of {words(found.agreement)}"
        )

    def _detail(self, pair: PairReport, classes: tuple[str, ...]) -> None:
        self.stdout.write(f"\nIn detail: {pair.first} and {pair.second}")
        for name, estimate in zip(classes, pair.found.by_class, strict=True):
            self.stdout.write(f"  {name:<16} positive agreement {words(estimate)}")
        for title, parts in ((f"by {pair.time_unit}", pair.over_time), ("by device", pair.by_device)):
            for part in parts:
                self.stdout.write(f"  {title}: {part.name:<14} {part.n_images:>5} images, kappa {words(part.kappa)}")


def words(estimate: Estimate) -> str:
    """``0.81 (0.74 to 0.87)``, or the number alone with the reason why there is no interval."""
    if not estimate.defined:
        return f"- ({estimate.note})"
    if not estimate.has_interval:
        return f"{printed(estimate.estimate)} ({estimate.note or 'no interval'})"
    return interval_text(estimate.as_dict())
