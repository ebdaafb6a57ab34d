"""``manage.py run_pipeline``: queue runs of a slide or cohort and, if asked, see them through."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.models import Cohort, Slide
from inference.management.seeing_through import PATIENCE_S, Onlooker
from inference.models import PipelineRun
from inference.selectors.registry import pipeline_named
from inference.selectors.results import Result
from inference.selectors.runs import run_words
from inference.services.runs import cohort_run_request, job_ids, run_request
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.bell import ring_all
from leukoweb.core.models import Job


class Command(BaseCommand):
    help = (
        "Run a pipeline over a slide or over the slides of a cohort that have no current result. "
        "Exit codes: 0 done (or queued), 1 a run failed or was cancelled, 2 wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--slide", metavar="CODE")
        what.add_argument("--cohort", metavar="NAME")
        parser.add_argument("--pipeline", metavar="NAME:VERSION", help="default: the active one")
        parser.add_argument("--mode", choices=PipelineRun.Mode.values, default=PipelineRun.Mode.FULL)
        parser.add_argument(
            "--everything", action="store_true", help="with --cohort: also slides with a current result"
        )
        parser.add_argument(
            "--wait", action="store_true", help="show progress and the diagnoses; works without a worker"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            runs = self._request(options)
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=2) from error
        ring_all(job_ids(runs))
        if not runs:
            self.stdout.write("Nothing to do: every slide has a current result. Use --everything to run them again.")
        elif not options["wait"]:
            self.stdout.write(f"{len(runs)} run{'s' if len(runs) > 1 else ''} queued. `--wait` would see them through.")
        else:
            codes = {run.job_id: run.slide.code for run in runs}
            onlooker = Onlooker(self.stdout.write, lambda job: f"{codes[job.pk]}: {_progress(job)}", PATIENCE_S)
            ended = [self._see_through(run, onlooker) for run in runs]  # all of them, also after one that failed
            if not all(ended):
                raise CommandError(f"{ended.count(False)} of {len(ended)} runs ended without a result.", returncode=1)

    def _request(self, options: dict[str, Any]) -> list[PipelineRun]:
        pipeline = pipeline_named(options["pipeline"]) if options["pipeline"] else None
        if options["slide"]:
            slide = Slide.objects.select_related("patient").filter(code=options["slide"]).first()
            if slide is None:
                raise DomainError(f"There is no slide {options['slide']!r}.", hint="Its code is on the slide's page.")
            return [run_request(actor=None, slide=slide, pipeline=pipeline, mode=options["mode"])]
        cohort = Cohort.objects.filter(name=options["cohort"]).first()
        if cohort is None:
            known = ", ".join(Cohort.objects.values_list("name", flat=True)[:20]) or "none yet"
            raise DomainError(f"There is no cohort {options['cohort']!r}.", hint=f"Known: {known}.")
        return cohort_run_request(
            actor=None, cohort=cohort, pipeline=pipeline, mode=options["mode"], everything=options["everything"]
        )

    def _see_through(self, run: PipelineRun, onlooker: Onlooker) -> bool:
        """Follow one run, doing it here if nobody takes it. True if it ended with a result."""
        job = onlooker.see_through(run.job_id)
        run = PipelineRun.objects.select_related("slide", "job", "prediction", "pipeline").get(pk=run.pk)
        if run_words(run) != "done":
            self.stderr.write(f"{run.slide.code}: {job.get_status_display().lower()}: {job.error} {job.hint}".strip())
            return False
        result = Result(run)
        reason = "; ".join(result.sentences) or result.prediction.reason
        flags = f" [{', '.join(result.prediction.flags)}]" if result.prediction.flags else ""
        self.stdout.write(f"{run.slide.code}: {result.prediction.diagnosis or 'no decision'}{flags} ({reason})")
        return True


def _progress(job: Job) -> str:
    return f"{job.get_status_display().lower()} {job.done_units}/{job.total_units} {job.unit}"
