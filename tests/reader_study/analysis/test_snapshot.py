"""Exports while readings are being written: each is one consistent state of the database (hazard H12)."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from leukoweb.core.audit import audit_record
from leukoweb.core.models import AuditEvent
from reader_study.analysis.canonical import sha256_of
from reader_study.models import Reading, ReadingSession
from reader_study.selectors.analysis_inputs import study_inputs
from tests.reader_study.factories import CLASSES, MadeStudy, make_study

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

EXPORTS = 50
CASES = 3


@pytest.fixture
def made(make_user: Any) -> MadeStudy:
    users = [make_user("pathologist"), make_user("pathologist")]
    return make_study(users=users, n_cases=CASES, n_fields=1, sessions=(), materialise=False)


def seal_both(made: MadeStudy, number: int) -> None:
    """One transaction: session ``number`` of both readers, sealed, with all its readings and one event."""
    with transaction.atomic():
        for reader in made.readers:
            session = ReadingSession.objects.create(reader=reader, number=number, arm="blinded", seed=1, state="sealed")
            for position, case in enumerate(made.cases, start=1):
                Reading.objects.create(
                    session=session, study_case=case, position=position, diagnosis=CLASSES[number % 5], n_images=1,
                    n_viewed=1, active_ms=1,
                )  # fmt: skip
        audit_record(actor=None, action="session.seal", target=f"study:{made.study.pk}", data={"number": number})


@contextlib.contextmanager
def writing(made: MadeStudy) -> Iterator[Callable[[], None]]:
    """A second connection that seals one more pair each time that it is told to."""
    turns, failures, stop = threading.Semaphore(0), [], threading.Event()

    def write() -> None:
        try:
            for number in itertools.count(1):
                turns.acquire()
                if stop.is_set():
                    return
                seal_both(made, number)
        except Exception as error:  # told by the test
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield turns.release
    finally:
        stop.set()
        turns.release()
        thread.join(timeout=120)
    assert not thread.is_alive()
    assert failures == []


def torn(document: dict[str, Any]) -> list[str]:
    """What contradicts itself in an export."""
    found = []
    by_reader = {"P1": 0, "P2": 0}
    for evaluator in document["evaluators"]:
        by_reader[evaluator["reader"]] += 1
        if len(evaluator["answers"]) != CASES:
            found.append(f"{evaluator['name']} is sealed with {len(evaluator['answers'])} readings")
        if len({str(answer["answers"]) for answer in evaluator["answers"]}) > 1:
            found.append(f"{evaluator['name']} mixes two states")
    if by_reader["P1"] != by_reader["P2"]:
        found.append(f"sessions: {by_reader}")
    events = [event for event in document["audit"] if event["action"] == "session.seal"]
    if len(events) != by_reader["P1"]:
        found.append(f"{len(events)} events of {by_reader['P1']} sealed pairs")
    if document["marks"]["left_out"]:
        found.append("a session that is not sealed")
    return found


def test_exports_under_load_are_each_consistent(made: MadeStudy) -> None:
    seen = []
    with writing(made) as seal_one_more:
        for _ in range(EXPORTS):
            seal_one_more()
            document = study_inputs(made.study, interim=True, reason="under load")
            assert torn(document) == []
            seen.append(len(document["evaluators"]))
    assert seen == sorted(seen), "a later export never shows less"
    again = [sha256_of(study_inputs(made.study, interim=True, reason="at rest")) for _ in range(2)]
    assert again[0] == again[1]


class Between:
    """Lets another connection seal a pair before each query of this one: the worst moment for an export, every time."""

    def __init__(self, made: MadeStudy, *, may_wait: bool) -> None:
        self.made, self.may_wait, self.number, self.threads = made, may_wait, 1, list[threading.Thread]()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith("SELECT"):
            thread = threading.Thread(target=self._seal, args=(self.number,))
            self.number += 1
            thread.start()
            self.threads.append(thread)
            if self.may_wait:
                thread.join()
        return execute(sql, params, many, context)

    def _seal(self, number: int) -> None:
        try:
            seal_both(self.made, number)
        finally:
            connection.close()

    def end(self) -> None:
        for thread in self.threads:
            thread.join()


def interrupted(made: MadeStudy, *, may_wait: bool) -> dict[str, Any]:
    between = Between(made, may_wait=may_wait)
    with connection.execute_wrapper(between):
        document = study_inputs(made.study, interim=True, reason="interrupted")
    between.end()
    assert AuditEvent.objects.filter(action="session.seal").count() == between.number - 1 > 5
    return document


def test_a_write_between_any_two_queries_of_an_export_is_not_seen(made: MadeStudy) -> None:
    """SQLite keeps the writer waiting until the export has ended, so there the export must not wait for the writer."""
    document = interrupted(made, may_wait=connection.vendor == "postgresql")
    assert torn(document) == []


def test_without_the_snapshot_the_same_writes_tear_the_export(made: MadeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the two tests above can fail."""
    monkeypatch.setattr("reader_study.selectors.analysis_inputs.one_snapshot", contextlib.nullcontext)
    assert torn(interrupted(made, may_wait=True)) != []
