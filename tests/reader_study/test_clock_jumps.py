"""A server clock that is set back while people read: the order of answers, the seal and the washout stay right."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from leukoweb.core.audit import chain_verify
from leukoweb.core.signing import Signature
from reader_study.models import DraftEvent, ReadingSession
from reader_study.services.clock import ClockSetBack, NotOpenYet, require_open_time
from reader_study.services.readings import answer_save, case_show, session_open
from reader_study.services.seals import seal_verify, session_seal
from tests.reader_study.factories import MadeStudy, make_study

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
EMPTY_BATTERY = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def made(make_user: Callable[..., Any]) -> MadeStudy:
    user = make_user("pathologist", "reader")
    made = make_study(users=[user], n_cases=3, n_fields=1, sessions=("blinded", "blinded"), require_all_viewed=False)
    session_open(actor=user, session=made.session(number=1), agreed=True, time_zone="UTC", version=1)
    return made


def answer_everything(session: ReadingSession) -> None:
    for n, case in enumerate(session.cases.order_by("position")):
        case_show(session=session, case=case)
        for version, diagnosis in enumerate(("ALL", "AML")):
            answer = {"diagnosis": diagnosis, "confidence": 1 + n}
            answer_save(session=session, case=case, key=uuid.uuid4(), version=version, answer=answer)


def test_a_clock_that_falls_back_to_the_year_2000_shortens_no_washout(made: MadeStudy) -> None:
    session, user = made.session(number=1), made.readers[0].user
    signature = Signature(user, "R", "meaning", "password")
    with time_machine.travel(EMPTY_BATTERY, tick=True):
        answer_everything(session)
        with pytest.raises(ClockSetBack, match="2000-01-01"):
            session_seal(session=session, signature=signature)
        with pytest.raises(ClockSetBack):
            session_open(actor=user, session=made.session(number=2), agreed=True, time_zone="UTC", version=1)
    truth = timezone.now()
    session_seal(session=session, signature=signature)
    session.refresh_from_db()
    assert seal_verify(session)
    assert chain_verify().intact
    assert [event.new["diagnosis"] for event in DraftEvent.objects.order_by("id")] == ["ALL", "AML"] * 3
    following = made.session(number=2)
    assert following.opens_at is not None
    assert following.opens_at >= truth + timedelta(days=42)
    with pytest.raises(NotOpenYet):
        require_open_time(following, truth + timedelta(days=41, hours=23, minutes=59))


def test_an_answer_dated_before_the_one_that_it_replaces_still_replaces_it(made: MadeStudy) -> None:
    session = made.session(number=1)
    case = session.cases.get(position=1)
    case_show(session=session, case=case)
    for version, (hours, diagnosis) in enumerate(((0, "ALL"), (-3, "AML"), (3, "CML"))):
        with time_machine.travel(timezone.now() + timedelta(hours=hours), tick=True):
            answer = {"diagnosis": diagnosis, "confidence": 3}
            answer_save(session=session, case=case, key=uuid.uuid4(), version=version, answer=answer)
    case.draft.refresh_from_db()
    assert (case.draft.version, case.draft.answer["diagnosis"]) == (3, "CML")
    assert [event.version for event in case.events.order_by("id")] == [1, 2, 3]
