"""Bells: sent after the commit, never in the way of a request, rung again when lost, and never piling up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kombu
import pytest
from django.db import transaction
from django.utils import timezone

from leukoweb.core.jobs import bell, ledger, registry
from leukoweb.core.models import Job
from leukoweb.core.tasks import run_job
from leukoweb.launcher import broker

pytestmark = pytest.mark.both_databases


@pytest.fixture(autouse=True)
def test_kind() -> Iterator[None]:
    registry.register_kind("test.bell", "tests.core.test_bells:nobody", queue="ops")
    yield
    registry._kinds.pop("test.bell")


def make() -> Job:
    return ledger.job_create(kind="test.bell", title="Some work", payload={}, actor=None)


@pytest.mark.django_db
def test_a_dead_broker_neither_blocks_nor_fails(settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    job = make()
    assert bell.publish(job.pk) is False
    job.refresh_from_db()
    assert job.status == "queued"
    assert job.rung_at is None, "the keeper rings again"


class Broker:
    """Counts bells, and holds them until somebody takes or loses them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
        self.sent: list[str] = []
        self.queues: dict[str, list[str]] = {}
        monkeypatch.setattr(
            "leukoweb.core.tasks.run_job.__class__.apply_async", lambda s, **options: self.take(**options)
        )
        monkeypatch.setattr(bell, "bells_waiting", lambda queue, connection: len(self.queues.get(queue, [])))
        monkeypatch.setattr("leukoweb.core.jobs.daily.daily_create", list)

    def take(self, args: list[str], queue: str, **options: Any) -> None:
        self.sent.append(args[0])
        self.queues.setdefault(queue, []).append(args[0])


def an_hour_passes() -> None:
    Job.objects.exclude(rung_at=None).update(rung_at=timezone.now() - timedelta(hours=1))


@pytest.mark.django_db
def test_a_long_queue_that_does_not_move_does_not_fill_the_broker(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Broker(monkeypatch, settings)
    Job.objects.bulk_create(Job(kind="test.bell", queue=queue, title="x") for queue in ("ops", "train") * 500)
    for _ in range(20):
        bell.reap_and_ring()
        an_hour_passes()
    assert len(fake.sent) == 2 * ledger.RING_AGAIN, "its bells are still there: no more are needed"


@pytest.mark.django_db
def test_lost_bells_are_rung_again_oldest_first(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Broker(monkeypatch, settings)
    jobs = [make() for _ in range(3)]
    assert bell.publish_all(job.pk for job in jobs) == 3
    fake.queues.clear()  # the broker was wiped
    assert bell.reap_and_ring() == 0, "they may be on their way"
    an_hour_passes()
    assert bell.reap_and_ring() == 3
    assert fake.queues == {"ops": [str(job.pk) for job in jobs]}


@pytest.mark.django_db
def test_the_wait_of_a_bell_is_longer_while_others_of_its_queue_run(settings: Any) -> None:
    waiting, running = make(), make()
    assert ledger.job_claim(running.pk, "w")
    Job.objects.filter(pk=waiting.pk).update(rung_at=timezone.now() - timedelta(seconds=60))
    assert ledger.reap() == []
    Job.objects.filter(pk=running.pk).update(status="done")
    assert ledger.reap() == [waiting.pk]


def test_the_bells_of_a_queue_are_counted_and_a_dead_broker_is_an_error(tmp_path: Path, settings: Any) -> None:
    """Against the server that ``make run`` starts, with the key prefix of the settings."""
    server = subprocess.Popen(broker.command(tmp_path / "run" / "s", tmp_path / "data"), stdout=subprocess.DEVNULL)
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    try:
        assert broker.wait_until_ready(tmp_path / "run" / "s")
        with kombu.Connection(f"redis+socket://{tmp_path}/run/s", transport_options=options) as connection:
            assert bell.bells_waiting("ops", connection) == 0
            for _ in range(3):
                run_job.apply_async(args=["x"], queue="ops", connection=connection)
            assert (bell.bells_waiting("ops", connection), bell.bells_waiting("infer", connection)) == (3, 0)
    finally:
        server.terminate()
        server.wait()
    dead = kombu.Connection(f"redis+socket://{tmp_path}/run/s", transport_options=options)
    with pytest.raises(dead.connection_errors):
        bell.bells_waiting("ops", dead)


@pytest.mark.django_db(transaction=True)
def test_many_bells_stop_at_the_first_that_fails(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    tried: list[str] = []

    def dead(self: Any, args: list[str], **options: Any) -> None:
        tried.append(args[0])
        if len(tried) > 1:
            raise OSError("connection refused")

    monkeypatch.setattr("leukoweb.core.tasks.run_job.__class__.apply_async", dead)
    jobs = [make() for _ in range(4)]
    with transaction.atomic():
        bell.ring_all(job.pk for job in jobs)
        assert tried == [], "nobody may take a job before its row is committed"
    assert tried == [str(job.pk) for job in jobs[:2]]
    assert list(Job.objects.exclude(rung_at=None)) == jobs[:1], "the keeper rings the others"
