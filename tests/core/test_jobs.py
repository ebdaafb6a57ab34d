"""The job ledger: claims, fences, attempts, reaping, cancelling."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.blindfold import lift, put_on
from leukoweb.core.exceptions import Conflict
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
def test_the_keeper_ends_what_waits_with_a_cancel_on_it(admin_user: Any) -> None:
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
