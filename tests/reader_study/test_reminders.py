"""Reminder mails: once, in time, and with nothing in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.core.management import call_command

from reader_study.models import ReadingSession
from tests.reader_study.factories import CLASSES, make_study

pytestmark = pytest.mark.django_db
START = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


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
    assert "2027-12-31" in text
    secrets = {*CLASSES, "42", *(case.code for case in made.cases), *(case.patient.code for case in made.cases)}
    assert not [word for word in secrets if word in text.replace("2027-12-31", "")]
    assert not [s.token for s in made.sessions if s.token in text]
