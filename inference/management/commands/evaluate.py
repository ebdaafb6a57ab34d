"""``manage.py evaluate``: a pipeline on patients whose diagnosis is known; hierarchy against single model."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from cases.models import Cohort
from cases.selectors.datasets import dataset_named
from inference.pipeline.evaluation import LEVELS
from inference.selectors.evaluation import cohort_patients
from inference.selectors.registry import pipeline_active, pipeline_named
from inference.services.errors import PipelineMissing
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.statistics.ratings_report import interval_text, p_text


class Command(BaseCommand):
    help = (
        "Evaluate a pipeline on the internal-validation patients of a dataset version (the report is stored), or on "
        "the patients of a cohort that have a reference diagnosis (the report is printed or written)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--dataset", metavar="NAME:VERSION")
        what.add_argument("--cohort", metavar="NAME")
        parser.add_argument("--pipeline", metavar="NAME:VERSION", help="default: the active one")
        parser.add_argument("--json", metavar="FILE", type=Path, help="write the whole report here")

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.worker.evaluation import Hooks, evaluate_dataset, evaluate_patients

        hooks = Hooks(self._step, transaction.atomic)
        self.told = 0
        try:
            pipeline = pipeline_named(options["pipeline"]) if options["pipeline"] else pipeline_active()
            if pipeline is None:
                raise PipelineMissing("No pipeline is active.", hint="Name one with --pipeline.")
            if options["dataset"]:
                report = evaluate_dataset(pipeline, dataset_named(options["dataset"]), hooks).report
            else:
                cohort = Cohort.objects.filter(name=options["cohort"]).first()
                if cohort is None:
                    raise NotFound(f"There is no cohort {options['cohort']!r}.")
                report = evaluate_patients(pipeline, cohort_patients(cohort), hooks)[0]
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        if options["json"]:
            options["json"].write_text(json.dumps(report, indent=1), encoding="utf-8")
        self._tell(str(pipeline), report)

    def _step(self, done: int, total: int) -> None:
        tenth = 10 * done // max(1, total)
        if tenth > self.told:
            self.told = tenth
            self.stderr.write(f"{done} of {total} images")

    def _tell(self, name: str, report: dict[str, Any]) -> None:
        self.stdout.write(f"{name}: {report['n_patients']} patients, {report['n_images']} images")
        for level in LEVELS:
            found = report["levels"][level]
            for evaluator, figures in found["evaluators"].items():
                macro = figures["macro"]["f1"]
                self.stdout.write(
                    f"  {level} classes, {evaluator}: macro F1 {interval_text(macro)}, exact match "
                    f"{interval_text(figures['exact_match'])}"
                )
            for other, difference in found["hierarchy_minus"].items():
                if difference:
                    self.stdout.write(
                        f"  {level} classes, hierarchy minus {other}: macro F1 "
                        f"{interval_text(difference['difference']['f1'])}, p {p_text(difference['p'])}"
                    )
