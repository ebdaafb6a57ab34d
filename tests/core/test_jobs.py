"""The job ledger: claims, fences, attempts, reaping, cancelling."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.blindfold import lift, put_on
from leukoweb.core.exceptions import Conflict, DomainError, StorageDown
from leukoweb.core.jobs import bell, ledger, registry
from leukoweb.core.jobs.context import JobContext, LeaseLost
from leukoweb.core.jobs.execute import execute
from leukoweb.core.models import AuditEvent, Job

pytestmark = pytest.mark.both_databases
calls: list[str] = []
behaviour: dict[str, Callable[[JobContext], str | None]] = {}


def handler(context: JobContext) -> str | None:
    calls.append(context.job_id)
    return behaviour["now"](context)


@pytest.fixture(autouse=True)
def test_kind() -> Iterator[None]:
    registry.register_kind("test.work", "tests.core.test_jobs:handler", queue="ops")
    calls.clear()
    behaviour["now"] = lambda context: "all good"
    yield
    registry._kinds.pop("test.work")


def make(**options: Any) -> Job:
    return ledger.job_create(kind="test.work", title="Some work", payload={}, actor=None, **options)


@pytest.mark.django_db
def test_a_job_runs_once_and_says_so() -> None:
    job = make()
    assert execute(job.pk)
    assert not execute(job.pk), "a second bell finds nothing to do"
    job.refresh_from_db()
    assert (job.status, job.note, len(calls)) == ("done", "all good", 1)


@pytest.mark.django_db
def test_one_unfinished_job_per_key() -> None:
    first = make(key="slide:1")
    assert make(key="slide:1").pk == first.pk
    execute(first.pk)
    assert make(key="slide:1").pk != first.pk


@pytest.mark.django_db
def test_who_sees_the_own_jobs_only_still_shares_the_work_of_others(
    technician: Any, pathologist: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a request of somebody from whom patients are hidden, on both databases, and the right queue is rung."""
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    queues: list[str] = []
    monkeypatch.setattr(
        "leukoweb.core.tasks.run_job.__class__.apply_async", lambda self, **o: queues.append(o["queue"])
    )
    work: dict[str, Any] = {"kind": "test.work", "title": "Some work", "payload": {}, "key": "slide:1"}
    first = ledger.job_create(actor=technician, **work)
    put_on(lambda: {1}, lambda: pathologist.pk)
    try:
        assert ledger.job_create(actor=pathologist, **work).pk == first.pk
        assert not Job.objects.exists(), "it is on no list of theirs"
        assert bell.publish(first.pk)
    finally:
        lift()
    first.refresh_from_db()
    assert (queues, first.rung_at is not None) == (["ops"], True)


@pytest.mark.django_db
def test_an_older_claim_cannot_write() -> None:
    job = make()
    old = ledger.job_claim(job.pk, "a")
    assert old
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    new = ledger.job_claim(job.pk, "b")
    assert new
    assert new.fence == old.fence + 1
    with pytest.raises(LeaseLost), JobContext(old).write():
        pytest.fail("the block must not be entered")
    assert not ledger.job_finish(old)
    assert ledger.job_finish(new)


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

    def work(context: JobContext) -> str:
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


@pytest.mark.django_db
def test_cancel_of_a_waiting_job_ends_it_and_is_audited(admin_user: Any) -> None:
    job = ledger.job_cancel(actor=admin_user, job=make(), reason="not needed")
    assert job.status == "cancelled"
    assert not execute(job.pk)
    assert AuditEvent.objects.filter(action="job.cancel", reason="not needed").count() == 1
    with pytest.raises(Conflict):
        ledger.job_cancel(actor=admin_user, job=job)
    assert ledger.job_retry(actor=admin_user, job=job).status == "queued"
    assert execute(job.pk)


@pytest.mark.django_db
def test_cancel_of_a_running_job_stops_it_at_its_next_progress(admin_user: Any) -> None:
    job = make()

    def long_work(context: JobContext) -> str:
        context.progress(1, 3)
        ledger.job_cancel(actor=admin_user, job=Job.objects.get(pk=job.pk))
        context.progress(2, 3)
        pytest.fail("work went on after the cancel")

    behaviour["now"] = long_work
    execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.done_units) == ("cancelled", 2)


@pytest.mark.django_db
def test_a_cancel_is_noticed_inside_a_chunk_too(admin_user: Any, monkeypatch: Any) -> None:
    job = make()
    monkeypatch.setattr("leukoweb.core.jobs.context.LOOK_EVERY_S", 0.0)

    def long_chunk(context: JobContext) -> str:
        context.check()
        ledger.job_cancel(actor=admin_user, job=Job.objects.get(pk=job.pk))
        context.check()
        pytest.fail("work went on after the cancel")

    behaviour["now"] = long_chunk
    execute(job.pk)
    job.refresh_from_db()
    assert job.status == "cancelled"


@pytest.mark.django_db
def test_a_cancelled_job_that_meets_an_error_ends_and_frees_its_key(admin_user: Any) -> None:
    job = make(key="slide:9")

    def breaks_after_the_cancel(context: JobContext) -> str:
        ledger.job_cancel(actor=admin_user, job=Job.objects.get(pk=job.pk))
        raise ValueError("no such thing")

    behaviour["now"] = breaks_after_the_cancel
    execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.cancel_requested) == ("cancelled", True)
    assert job.finished_at is not None
    assert make(key="slide:9").pk != job.pk, "its key is free"


@pytest.mark.django_db
def test_a_job_that_is_put_back_without_a_cancel_waits() -> None:
    claim = ledger.job_claim(make().pk, "w")
    assert claim
    assert ledger.job_put_back(claim, message="x")
    job = Job.objects.get(pk=claim.job_id)
    assert (job.status, job.finished_at) == ("queued", None)


@pytest.mark.django_db
def test_the_reaper_ends_what_waits_with_a_cancel_on_it(admin_user: Any) -> None:
    waiting, running = make(), make()
    Job.objects.filter(pk=waiting.pk).update(cancel_requested=True)
    assert ledger.job_claim(running.pk, "w")
    ledger.job_cancel(actor=admin_user, job=running)
    Job.objects.filter(pk=running.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert ledger.reap() == []
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}
    assert not Job.objects.filter(finished_at=None).exists()
    assert ledger.job_retry(actor=admin_user, job=waiting).status == "queued"


@pytest.mark.django_db
def test_check_asks_the_database_rarely(django_assert_num_queries: Any) -> None:
    claim = ledger.job_claim(make().pk, "w")
    assert claim
    context = JobContext(claim)
    with django_assert_num_queries(0):
        for _ in range(100):
            context.check()


@pytest.mark.django_db(transaction=True)
def test_of_two_racing_workers_one_wins() -> None:
    for _ in range(20):
        job = make()
        won: list[bool] = []
        start = threading.Barrier(4)

        def race() -> None:
            start.wait()
            won.append(ledger.job_claim(job.pk, str(threading.get_ident())) is not None)
            connections.close_all()

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False, False, False, True]


@pytest.mark.django_db
def test_the_page_of_jobs_is_narrowed_over_its_pages(as_role: Any) -> None:
    client, address, now = as_role("technician"), reverse("job_list"), timezone.now()
    for number in range(30):
        Job.objects.filter(pk=make().pk).update(status="failed", title=f"Broken {number:02}", finished_at=now)
    Job.objects.filter(title="Broken 00").update(finished_at=now - timedelta(days=8))
    Job.objects.filter(pk=make().pk).update(status="done", title="Whole", finished_at=now + timedelta(seconds=1))
    make()

    def shown(**query: Any) -> set[str]:
        return set(re.findall(r'class="job-title">([^<]+)<', client.get(address, query).content.decode()))

    assert {"Whole", "Some work"} < shown()
    failed = client.get(address, {"status": "failed", "days": "7"}).content.decode()
    assert "Some work" not in failed
    assert "?status=failed&amp;days=7&amp;page=2" in failed
    both = shown(status="failed", days=7) | shown(status="failed", days=7, page=2)
    assert both == {f"Broken {number:02}" for number in range(1, 30)}
    assert shown(status="queued") == shown(status="queued", kind="test.work") == {"Some work"}
    assert shown(kind="inference.run") == set()
    assert shown(q="roken 07") == {"Broken 07"}
    assert client.get(address, {"status": "odd", "kind": "odd", "days": "x"}).status_code == 200
    home = client.get(reverse("home")).content.decode()
    assert "29 failed" in home
    assert f"{address}?status=failed&amp;days=7" in home
