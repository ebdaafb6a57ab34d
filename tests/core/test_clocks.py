"""Machines whose clocks differ, and a clock that jumps: leases, the audit chain and the washout stay right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from leukoweb.core import health
from leukoweb.core.audit import audit_record, chain_verify
from leukoweb.core.clocks import clocks_apart, shared_now
from leukoweb.core.jobs import ledger, registry
from leukoweb.core.models import AuditEvent, Job

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
HOURS = (-3.5, 3.5)


def on_another_machine(hours: float) -> Any:
    """This process with a clock that is wrong by so much, and runs."""
    return time_machine.travel(timezone.now() + timedelta(hours=hours), tick=True)


@pytest.fixture
def job(monkeypatch: Any) -> Job:
    monkeypatch.setitem(registry._kinds, "test.clock", registry.Kind("test.clock", "x:y", "ops", "units", "Clock", ""))
    return ledger.job_create(kind="test.clock", title="t", payload={}, actor=None)


@pytest.mark.parametrize("hours", HOURS)
def test_a_worker_with_a_wrong_clock_keeps_its_job_and_loses_it_when_it_dies(job: Job, hours: float) -> None:
    if connection.vendor == "sqlite":  # one machine, hence one clock: there is nothing to differ from
        assert abs(shared_now() - timezone.now()) < timedelta(minutes=1)
        return
    with on_another_machine(hours):
        claim = ledger.job_claim(job.pk, "worker")
        assert claim is not None
        assert ledger.heartbeat(claim)
    ledger.reap()
    assert ledger.holds(claim), "the keeper's clock took the job away from a living worker"
    job.refresh_from_db()
    assert job.lease_until is not None
    assert abs(job.lease_until - timezone.now()) < timedelta(minutes=1), "a dead worker's job would wait for hours"
    with on_another_machine(hours):
        assert abs(clocks_apart() - timedelta(hours=hours)) < timedelta(minutes=1)
        finding = next(f for f in health.findings() if f.what == "Clock")
    assert finding.state == "bad"
    assert f"3 hours {'ahead of' if hours > 0 else 'behind'} the database" in finding.words


def test_the_chain_holds_and_keeps_its_order_when_the_clock_jumps_back() -> None:
    for number, hours in enumerate((0, -3, 3, 0)):
        with on_another_machine(hours):
            audit_record(actor=None, action="test.clock", target=str(number))
    assert chain_verify().intact
    events = AuditEvent.objects.filter(action="test.clock").order_by("id")
    assert [event.target for event in events] == ["0", "1", "2", "3"]


def test_a_clock_that_was_set_back_is_said_on_the_health_page(as_role: Callable[[str], Client]) -> None:
    with on_another_machine(3):
        audit_record(actor=None, action="test.clock")
    assert b"in the future: a clock was set back" in as_role("admin").get("/health/").content
