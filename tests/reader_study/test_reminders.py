"""Reminder mails: once, in time, and with nothing in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone

from leukoweb.core.jobs.daily import daily_create
from leukoweb.core.models import AuditEvent, Job
from reader_study.models import ReadingSession
from tests.reader_study.factories import CLASSES, make_study

pytestmark = pytest.mark.django_db
START = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def due(make_user: Callable[..., Any]) -> Callable[..., Any]:
    """``due(3)`` -> a study of three readers with an address, whose second sessions opened yesterday."""

    def make(n: int, **study: Any) -> Any:
        users = [make_user("pathologist", f"reader{i}") for i in range(n)]
        for user in users:
            user.email = f"{user.username}@example.org"
            user.save()
        made = make_study(users=users, n_cases=1, n_fields=1, sessions=["blinded"] * 2, **study)
        ReadingSession.objects.filter(number=2).update(opens_at=timezone.now() - timedelta(days=1))
        return made

    return make


def test_a_reader_is_reminded_once_when_the_session_has_opened(make_user: Callable[..., Any]) -> None:
    user, silent = make_user("pathologist", "reader"), make_user("pathologist", "silent")
    user.email = "reader@example.org"
    user.save()
    made = make_study(users=[user, silent], n_cases=2, n_fields=1, sessions=["blinded"] * 2, closes_on="2027-12-31")
    ReadingSession.objects.filter(number=2).update(opens_at=START + timedelta(days=42))
    with time_machine.travel(START + timedelta(days=41, hours=23, minutes=59), tick=False) as clock:
        call_command("remind_readers")
        assert mail.outbox == []
        clock.shift(60)
        call_command("remind_readers")
        call_command("remind_readers")
    assert [m.to for m in mail.outbox] == [["reader@example.org"]]
    text = mail.outbox[0].subject + mail.outbox[0].body
    assert "session 2" in text
    assert "The last day of reading is Friday 2027-12-31." in text
    secrets = {*CLASSES, "42", *(case.code for case in made.cases), *(case.patient.code for case in made.cases)}
    assert not [word for word in secrets if word in text]
    assert not [s.token for s in made.sessions if s.token in text]


def test_the_daily_job_reminds_and_says_no_number(due: Callable[..., Any], run_jobs: Callable[[], int]) -> None:
    due(2)
    daily_create()
    run_jobs()
    assert sorted(m.to[0] for m in mail.outbox) == ["reader0@example.org", "reader1@example.org"]
    job = Job.objects.get(kind="reading.remind")
    assert (job.status, job.note) == ("done", "done")
    assert AuditEvent.objects.filter(action="reading.remind").count() == 2
    daily_create()  # once a day, and nobody twice
    assert run_jobs() == 0
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    daily_create()
    run_jobs()
    assert len(mail.outbox) == 2


def test_a_mail_that_is_not_taken_is_tried_again_and_stops_nobody_elses(
    due: Callable[..., Any], run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.mail.backends.locmem import EmailBackend

    due(3)
    send = EmailBackend.send_messages

    def sometimes(self: Any, messages: list[Any]) -> int:
        if messages[0].to == ["reader1@example.org"]:
            raise SMTPServerDisconnected("gone")
        return send(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", sometimes)
    with pytest.raises(CommandError, match="1 mails were not taken"):
        call_command("remind_readers")
    assert [m.to[0] for m in mail.outbox] == ["reader0@example.org", "reader2@example.org"]
    daily_create()
    run_jobs()
    job = Job.objects.get(kind="reading.remind")
    assert (job.status, job.error_code) == ("failed", "E_MAIL")
    assert "reader1" not in job.title + job.error + job.note
    monkeypatch.undo()
    call_command("remind_readers")
    assert [m.to[0] for m in mail.outbox[2:]] == ["reader1@example.org"]


def test_without_a_mail_server_nobody_counts_as_reminded(
    due: Callable[..., Any], run_jobs: Callable[[], int], settings: Any
) -> None:
    due(1)
    locmem, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.console.EmailBackend"
    daily_create()
    run_jobs()
    assert Job.objects.get(kind="reading.remind").note == "no mail server is set"
    with pytest.raises(CommandError, match="No mail server is set"):
        call_command("remind_readers")
    assert not AuditEvent.objects.filter(action="reading.remind").exists()
    settings.EMAIL_BACKEND = locmem
    call_command("remind_readers")
    assert [m.to for m in mail.outbox] == [["reader0@example.org"]]


def test_nobody_is_sent_to_a_study_that_is_over(due: Callable[..., Any]) -> None:
    due(1, closes_on=(timezone.now() - timedelta(days=2)).date().isoformat())
    call_command("remind_readers")
    assert mail.outbox == []
