"""The job ledger: attempts, what forgives them, and troubles that cost none."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from unittest.mock import Mock

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.exceptions import DomainError, StorageDown
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.jobs.execute import execute
from leukoweb.core.models import Job
from tests.core.test_jobs import behaviour, calls, make
from tests.core.test_jobs import test_kind as registered  # noqa: F401

pytestmark = pytest.mark.both_databases


@pytest.mark.django_db
def test_a_worker_that_dies_three_times_without_progress_fails_the_job() -> None:
    job = make()
    for attempt in range(3):
        assert ledger.job_claim(job.pk, f"worker {attempt}")
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        rung = ledger.reap()
        assert (job.pk in rung) == (attempt < 2)
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "E_WORKER_LOST")


@pytest.mark.django_db
def test_progress_forgives_earlier_deaths() -> None:
    job = make()
    for done in range(1, 7):
        claim = ledger.job_claim(job.pk, "w")
        assert claim
        assert ledger.job_progress(claim, done=done, total=9)
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        assert ledger.reap() == [job.pk]


@pytest.mark.django_db
def test_saying_again_what_was_saved_forgives_nothing() -> None:
    """Work that kills its worker at the same place is tried three times there, and the place is named."""
    job = make()
    lives = 0
    while (claim := ledger.job_claim(job.pk, "w")) is not None:
        lives += 1
        assert lives < 9, "tried for ever"
        assert ledger.job_progress(claim, done=4, total=9, note="field 5")
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        ledger.reap()
    job.refresh_from_db()
    assert (lives, job.status, job.error_code) == (4, "failed", "E_WORKER_LOST"), "one got to 4, three did not"
    assert "It was at: field 5." in job.error


@pytest.mark.django_db
def test_counting_anew_and_dying_further_on_is_not_tried_for_ever() -> None:
    """A cascade tells its first pass again and dies at the same field of the second, a dataset counts from one."""
    job = make()
    lives = 0
    while (claim := ledger.job_claim(job.pk, "w")) is not None:
        lives += 1
        assert lives < 9, "tried for ever"
        for done in (1, 4, 6):
            assert ledger.job_progress(claim, done=done, total=9)
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        ledger.reap()
    job.refresh_from_db()
    assert (lives, job.status, job.done_units) == (4, "failed", 6)


@pytest.mark.django_db
def test_what_a_job_was_made_from_goes_once_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, the next attempt finds it: what is done already is not done again, and nothing is lacking."""
    gone: list[str] = []

    def refuses() -> None:
        raise PermissionError("read-only")

    def work(context: JobContext) -> str:
        context.when_done(refuses)  # changes nothing of the work, nor of the steps behind it
        context.when_done(lambda: gone.append(Job.objects.get(pk=job.pk).status))
        return ""

    behaviour["now"] = work
    job = make()
    finish = ledger.job_finish
    monkeypatch.setattr(ledger, "job_finish", lambda *_: False)  # the worker died, or another one has it
    assert execute(job.pk)
    assert gone == []
    monkeypatch.setattr(ledger, "job_finish", finish)
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    ledger.reap()
    assert execute(job.pk)
    assert gone == ["done"]


@pytest.mark.django_db
def test_unexpected_errors_are_tried_three_times_then_named() -> None:
    def broken(context: JobContext) -> str:
        raise ValueError("no such thing")

    behaviour["now"] = broken
    job = make()
    for _ in range(3):
        Job.objects.filter(pk=job.pk).update(not_before=None)
        execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_code, len(calls)) == ("failed", "E_UNEXPECTED", 3)
    assert "no such thing" in job.error


@pytest.mark.django_db
def test_progress_forgives_earlier_attempts_also_when_the_error_is_an_exception() -> None:
    """Two workers died before they saved anything; the third got far, and then the network was gone for a moment."""
    job = make()
    for _ in range(2):
        assert ledger.job_claim(job.pk, "w")
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        ledger.reap()

    def far_then_broken(context: JobContext) -> str:
        context.progress(5, 9)
        raise OSError("the network is gone")

    behaviour["now"] = far_then_broken
    assert execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.error) == ("queued", 0, "OSError: the network is gone")
    tries = 0
    while job.status == "queued":  # from here on it gets no further
        Job.objects.filter(pk=job.pk).update(not_before=None)
        assert execute(job.pk)
        job.refresh_from_db()
        tries += 1
    assert (job.status, job.error_code, tries) == ("failed", "E_UNEXPECTED", 3)


@pytest.mark.django_db
def test_an_error_with_a_message_fails_at_once() -> None:
    def refused(context: JobContext) -> str:
        raise DomainError("The slide has no images.", code="E_EMPTY_SLIDE", hint="Upload some.")

    behaviour["now"] = refused
    job = make()
    execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_code, job.hint, len(calls)) == ("failed", "E_EMPTY_SLIDE", "Upload some.", 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (StorageDown("The object store does not answer."), "E_STORAGE_DOWN"),
        (OSError(errno.ENOSPC, "No space left on device"), "E_STORAGE"),
    ],
)
def test_a_full_disk_or_a_store_that_is_away_costs_no_attempt(
    trouble: Exception, code: str, as_role: Callable[[str], Client]
) -> None:
    def away(context: JobContext) -> str:
        raise trouble

    behaviour["now"] = away
    job = make()
    for _ in range(2 * 3):
        Job.objects.filter(pk=job.pk).update(not_before=None)
        assert execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.error_code) == ("queued", 0, code)
    assert job.not_before is not None
    assert timedelta(seconds=20) < job.not_before - timezone.now() < timedelta(seconds=61)
    page = unescape(as_role("admin").get(reverse("job_list")).content.decode())
    assert f"{job.error} Tried again at" in page
    behaviour["now"] = lambda context: "all good"
    Job.objects.filter(pk=job.pk).update(not_before=None)
    execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error, job.stalled_since) == ("done", "", None)


@pytest.mark.django_db
def test_after_a_day_without_progress_a_stalled_job_fails_in_words() -> None:
    def away(context: JobContext) -> str:
        if Job.objects.get(pk=job.pk).done_units == 0:
            context.progress(1, 3)  # from here on it gets no further
        raise StorageDown("The object store does not answer.", hint="Tell your admin.")

    behaviour["now"] = away
    job, yesterday = make(), timezone.now() - timedelta(hours=25)
    for expected in ("queued", "failed"):
        Job.objects.filter(pk=job.pk).update(not_before=None, stalled_since=yesterday)
        execute(job.pk)
        job.refresh_from_db()
        assert job.status == expected, "progress begins the day anew"
    assert job.error == "It was tried again for a day. The object store does not answer."
    assert (job.hint, job.lease_until) == ("Tell your admin.", None)
    assert ledger.job_retry(actor=None, job=job).stalled_since is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("trouble", "hours", "status"),
    [(StorageDown("Away."), 25, "queued"), (StorageDown("Away."), 1, "failed"), (RuntimeError("A fault"), 1, "queued")],
)
def test_a_day_of_trying_is_none_in_which_nobody_tried(trouble: Exception, hours: int, status: str) -> None:
    behaviour["now"] = Mock(side_effect=trouble)
    job, now = make(), timezone.now()
    since, due = (now - timedelta(hours=n) for n in (25, hours))
    Job.objects.filter(pk=job.pk).update(stalled_since=since, not_before=due)
    execute(job.pk)
    job.refresh_from_db()
    assert (job.status, (job.stalled_since or now) >= now) == (status, status == "queued")
