"""What an admin and a monitoring system are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from leukoweb.core import health
from leukoweb.core.audit import audit_record
from leukoweb.core.guards import drop_guards, guards_lifted, install_guards
from leukoweb.core.models import AuditEvent, Job

pytestmark = pytest.mark.django_db


def state_of(what: str) -> tuple[str, str]:
    finding = next(f for f in health.findings() if f.what == what)
    return finding.state, finding.words


def a_job(minutes: int, status: str = "queued") -> Job:
    job = Job.objects.create(kind="x", queue="infer", title="t", status=status, finished_at=timezone.now())
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=minutes))
    return job


def test_a_quiet_installation_is_well(as_role: Callable[[str], Client]) -> None:
    audit_record(actor=None, action="backup.take")
    assert {finding.state for finding in health.findings()} == {"good"}
    assert b"All is well" in as_role("admin").get("/health/").content


def test_a_queue_without_a_worker_is_told_from_a_busy_one() -> None:
    a_job(30)
    assert state_of("Queue infer") == ("bad", "1 waiting, the oldest for 30 minutes; 0 running.")
    a_job(40, "running")
    assert state_of("Queue infer")[0] == "good"
    a_job(1, "failed")
    assert state_of("Failed jobs") == ("warn", "1 failed in the last 24 hours.")


@pytest.mark.both_databases
def test_jobs_that_wait_for_the_machine_are_told_from_those_that_wait_for_a_worker() -> None:
    """A worker that finds the disk full is there: nobody should look for another one."""
    waits = a_job(30)
    rows = Job.objects.filter(pk=waits.pk)
    rows.update(not_before=timezone.now() + timedelta(seconds=40), error_code="E_STORAGE", error="The disk is full.")
    machine = "1 waiting for the machine (a full disk, or a store that is away)"
    assert state_of("Queue infer") == ("warn", f"{machine}; 0 running.")
    a_job(30)
    assert state_of("Queue infer") == ("warn", f"{machine}, 1 for their turn; 0 running.")
    rows.update(not_before=timezone.now() - timedelta(minutes=6))  # its time has come, and nobody tried
    assert state_of("Queue infer") == ("bad", "2 waiting, the oldest for 30 minutes; 0 running.")


@pytest.mark.both_databases
def test_a_changed_event_and_a_missing_trigger_are_found(monkeypatch: Any) -> None:
    monkeypatch.setattr(health, "CHAIN_TAIL", 3)
    events = [audit_record(actor=None, action="test", target=str(n)) for n in range(6)]
    assert state_of("Audit trail") == ("good", "The newest 3 events fit together.")
    with guards_lifted():
        AuditEvent.objects.filter(pk=events[4].pk).update(target="forged")
    assert state_of("Audit trail") == ("bad", f"The chain is broken at event {events[4].pk}.")
    drop_guards()
    assert state_of("Unchangeable records")[0] == "bad"
    install_guards()


def test_disk_and_backup(monkeypatch: Any) -> None:
    usage = type("Usage", (), {"free": 2e9, "total": 100e9})
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: usage)
    assert state_of("Disk") == ("bad", "2 GB of 100 GB are free (2 %).")
    assert state_of("Backup") == ("warn", "None was taken yet.")
    audit_record(actor=None, action="backup.take")
    assert state_of("Backup") == ("good", "The last one was taken less than a minute ago.")
    audit_record(actor=None, action="backup.take", data={"missing": 2})
    assert state_of("Backup") == (
        "bad", "The last one was taken less than a minute ago. 2 stored files could not be saved.",
    )  # fmt: skip


def test_that_no_mail_server_is_set_is_found(settings: Any) -> None:
    assert state_of("Mail")[0] == "good"
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert state_of("Mail") == (
        "warn", "No mail server is set: nobody is invited to a study or reminded of a session by mail.",
    )  # fmt: skip


def test_the_number_of_queries_does_not_grow(django_assert_max_num_queries: Any) -> None:
    for n in range(30):
        a_job(n)
        audit_record(actor=None, action="test")
    with django_assert_max_num_queries(8):
        health.findings()


def test_metrics_need_the_token(settings: Any) -> None:
    assert Client().get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "t0ken"
    assert Client().get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    a_job(10)
    text = Client().get("/metrics", headers={"Authorization": "Bearer t0ken"}).content.decode()
    assert 'leukoweb_jobs{queue="infer",status="queued"} 1.0' in text
    assert 'leukoweb_health{what="Queue infer"} 2.0' in text
    guide = Path(settings.BASE_DIR, "docs", "operations.md").read_text(encoding="utf-8").split("## Watch")[1]
    told = set(re.findall(r"^\| `(\w+)", guide, re.MULTILINE))
    assert told == {*re.findall(r"^# TYPE (\w+) gauge", text, re.MULTILINE), "leukoweb_backup_age_s"}
