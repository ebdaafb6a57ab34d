"""``manage.py train``: train models on a frozen dataset version, through the same job as the page does."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.selectors.datasets import dataset_named
from inference.management.seeing_through import PATIENCE_S, Onlooker
from inference.models import TrainingRun
from inference.pipeline.training_config import PARTS, PRESETS, ConfigInvalid
from inference.selectors.training import training_run_named
from inference.services.training import estimate_request, training_continue, training_create, training_start
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.bell import ring
from leukoweb.core.models import Job
from leukoweb.statistics.ratings_report import interval_text

SHORT = {part.removeprefix("model_"): part for part in PARTS} | {"s3": "single_3", "s5": "single_5"}


class Command(BaseCommand):
    help = (
        "Train models on a dataset version. Exit codes: 0 done (or queued), 1 the training failed or was cancelled, "
        "2 wrong arguments or a dataset that training refuses."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--dataset", metavar="NAME:VERSION")
        what.add_argument("--resume", metavar="RUN", help="continue a cancelled or failed run")
        parser.add_argument("--models", metavar="1,2,3,s3,s5", help="default: those of the preset (1,2,3)")
        parser.add_argument("--preset", choices=PRESETS, default="paper")
        parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", dest="options")
        parser.add_argument("--name", default="", help="default: made from the dataset's name")
        parser.add_argument("--estimate", action="store_true", help="only measure how long it would take")
        parser.add_argument("--wait", action="store_true", help="follow it to the end; works without a worker")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run, job = self._request(options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        ring(job.pk)
        if not (options["wait"] or options["estimate"]):
            self.stdout.write(f"{run} is queued. `--wait` would follow it; its page shows it.")
            return
        ended = Onlooker(self.stdout.write, lambda job: job.note, PATIENCE_S).see_through(job.pk)
        if ended.status != Job.Status.DONE:
            raise CommandError(f"{run}: {ended.get_status_display()}. {ended.error} {ended.hint}".strip(), returncode=1)
        run.refresh_from_db()
        for part in run.parts.select_related("model"):
            if part.model is not None and part.best_macro_f1 is not None:
                f1 = part.report["macro"]["f1"]
                self.stdout.write(f"{part.model}: macro F1 {interval_text(f1)}, epoch {part.best_epoch}")
        if run.pipeline is not None:
            self.stdout.write(f"Candidate pipeline: {run.pipeline.name}:{run.pipeline.version}")

    def _request(self, options: dict[str, Any]) -> tuple[TrainingRun, Job]:
        if options["resume"]:
            run = training_run_named(options["resume"])
            if run.job is not None and run.job.is_active:
                return run, run.job
            return run, training_continue(actor=None, run=run)
        dataset = dataset_named(options["dataset"])
        config = PRESETS[options["preset"]].with_options(_pairs(options["options"], options["models"]))
        run = training_create(actor=None, dataset=dataset, config=config, name=options["name"])
        if options["estimate"]:
            return run, estimate_request(actor=None, run=run)
        return run, training_start(actor=None, run=run)


def _pairs(texts: list[str], models: str | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigInvalid(f"--set {text!r} is not OPTION=VALUE.", field="set")
        pairs[key.strip()] = value.strip()
    if models:
        pairs["models"] = ",".join(SHORT.get(word.strip(), word.strip()) for word in models.split(","))
    return pairs
