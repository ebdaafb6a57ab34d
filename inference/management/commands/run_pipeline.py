"""``manage.py run_pipeline``: queue runs of a slide or cohort and, if asked, see them through."""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.utils import timezone

from cases.models import Cohort, Slide
from inference.models import PipelineRun
from inference.selectors.registry import pipeline_named
from inference.selectors.results import Result
from inference.selectors.runs import run_words
from inference.services.runs import cohort_run_request, job_ids, run_request
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.bell import ring
from leukoweb.core.jobs.execute import execute
from leukoweb.core.jobs.ledger import reap
from leukoweb.core.models import Job

POLL_S = 0.5
NARRATE_S = 1.0
PATIENCE_S = 4.0  # a worker that is up takes a job within this time; then it is done here


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
        self.patience_s = PATIENCE_S
        try:
            runs = self._request(options)
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=2) from error
        for job_id in job_ids(runs):
            ring(job_id)
        if not runs:
            self.stdout.write("Nothing to do: every slide has a current result. Use --everything to run them again.")
        elif not options["wait"]:
            self.stdout.write(f"{len(runs)} run{'s' if len(runs) > 1 else ''} queued. `--wait` would see them through.")
        else:
            ended = [self._see_through(run) for run in runs]  # all of them, also after one that failed
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

    def _see_through(self, run: PipelineRun) -> bool:
        """Follow one run, doing it here if nobody takes it. True if it ended with a result."""
        job = self._follow(run.slide.code, Job.objects.get(pipeline_run=run))
        run = PipelineRun.objects.select_related("slide", "job", "prediction", "pipeline").get(pk=run.pk)
        if run_words(run) != "done":
            self.stderr.write(f"{run.slide.code}: {job.get_status_display().lower()}: {job.error} {job.hint}".strip())
            return False
        result = Result(run)
        reason = "; ".join(result.sentences) or result.prediction.reason
        flags = f" [{', '.join(result.prediction.flags)}]" if result.prediction.flags else ""
        self.stdout.write(f"{run.slide.code}: {result.prediction.diagnosis or 'no decision'}{flags} ({reason})")
        return True

    def _follow(self, code: str, job: Job) -> Job:
        """Until the job has ended; returns its last state."""
        asked, shown = time.monotonic(), ""
        while job.is_active:
            shown = self._tell(code, job, shown)
            free = job.status == Job.Status.QUEUED or (job.lease_until is not None and job.lease_until < timezone.now())
            waits = free and time.monotonic() - asked > self.patience_s
            if not (waits and self._nobody_works(job) and self._do_here(code, job)):
                time.sleep(POLL_S)
            job.refresh_from_db()
        return job

    def _do_here(self, code: str, job: Job) -> bool:
        """Be the worker of this job, telling progress meanwhile. False if somebody else has it."""
        ended = threading.Event()

        def narrate() -> None:
            shown = ""
            try:
                while not ended.wait(NARRATE_S):
                    shown = self._tell(code, Job.objects.get(pk=job.pk), shown)
            finally:
                connections.close_all()

        reap()  # ends what has died too often, which no claim would ever take
        narrator = threading.Thread(target=narrate, daemon=True)
        narrator.start()
        try:
            done = execute(job.pk)
        finally:
            ended.set()
            narrator.join()
        if done:
            self.patience_s = 0.0  # nobody took this one, so nobody will take the next
        return done

    def _tell(self, code: str, job: Job, shown: str) -> str:
        words = f"{code}: {job.get_status_display().lower()} {job.done_units}/{job.total_units} {job.unit}"
        if words != shown:
            self.stdout.write(words)
        return words

    @staticmethod
    def _nobody_works(job: Job) -> bool:
        """Whether no job of this queue is running under a live worker: then ours would wait for ever."""
        running = Job.objects.filter(queue=job.queue, status=Job.Status.RUNNING, lease_until__gt=timezone.now())
        return not running.exists()
