"""A signed reading cannot change: every way in tried, through the web and behind it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from leukoweb.core.signing import Signature
from reader_study.models import DraftReading, Reading, ReadingSession
from reader_study.services.seals import MEANINGS, seal_verify, session_seal
from tests.conftest import BACKEND
from tests.reader_study.factories import MadeStudy, make_study

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NEW = "AML"


@pytest.fixture
def sealed(make_user: Callable[..., Any]) -> MadeStudy:
    user = make_user("pathologist", "reader")
    made = make_study(users=[user], n_cases=2, n_fields=1, require_all_viewed=False)
    ReadingSession.objects.update(state="open", opened_at=timezone.now())
    DraftReading.objects.update(answer={"diagnosis": "ALL", "confidence": 3}, version=1, updated_at=timezone.now())
    session_seal(session=made.session(), signature=Signature(user, "R", MEANINGS["blinded"], "password"))
    return made


def saved(reading: Reading) -> None:
    reading.diagnosis = NEW
    reading.save()


def bulk(reading: Reading) -> None:
    reading.diagnosis = NEW
    Reading.objects.bulk_update([reading], ["diagnosis"])


def raw(sql: str) -> Callable[[Reading], None]:
    def run(reading: Reading) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, [reading.pk])

    return run


def once_more(reading: Reading) -> None:
    """A second answer to the same case of the same session."""
    reading.pk = None
    reading.diagnosis = NEW
    reading.save(force_insert=True)


BEHIND = {
    "save": saved,
    "update": lambda reading: Reading.objects.filter(pk=reading.pk).update(diagnosis=NEW),
    "bulk_update": bulk,
    "delete": lambda reading: reading.delete(),
    "delete of a query": lambda reading: Reading.objects.filter(pk=reading.pk).delete(),
    "SQL UPDATE": raw(f"UPDATE reader_study_reading SET diagnosis = '{NEW}' WHERE id = %s"),
    "SQL DELETE": raw("DELETE FROM reader_study_reading WHERE id = %s"),
    "a second one": once_more,
}


@pytest.mark.parametrize("way", BEHIND)
def test_no_way_behind_the_web(sealed: MadeStudy, way: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        BEHIND[way](Reading.objects.get(position=1))
    assert list(Reading.objects.values_list("diagnosis", flat=True)) == ["ALL", "ALL"]
    assert seal_verify(sealed.session())


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_way_through_the_web(sealed: MadeStudy, method: str) -> None:
    session = sealed.session()
    client = Client()
    client.force_login(sealed.readers[0].user, backend=BACKEND)
    body = {"key": str(uuid.uuid4()), "version": 1, "answer": {"diagnosis": NEW, "confidence": 1}}
    path = f"/read/{session.token}/case/{session.cases.get(position=1).token}/answer/"
    answer = getattr(client, method)(path, json.dumps(body), content_type="application/json")
    assert answer.status_code in (404, 405)
    assert list(Reading.objects.values_list("diagnosis", flat=True)) == ["ALL", "ALL"]
    assert seal_verify(session)
