"""Double submits and racing edits, in threads with connections of their own, on both databases."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from reader_study.models import DraftEvent, DraftReading, Reading, ReadingSession
from reader_study.services import locking
from tests.conftest import BACKEND
from tests.reader_study.factories import CLASSES, PASSWORD, MadeStudy, make_study
from tests.reader_study.journey import agreement
from tests.reader_study.studies import document_of, make_locked, sessions, sign, world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
MakeUser = Callable[..., Any]
SIZES = [pytest.param(20, id="fast"), pytest.param(1000, id="full", marks=pytest.mark.slow)]
EDITS = [pytest.param(20, id="fast"), pytest.param(400, id="full", marks=pytest.mark.slow)]


@pytest.fixture
def made(make_user: MakeUser) -> MadeStudy:
    made = make_study(users=[make_user("pathologist", "reader")], n_cases=10, n_fields=1)
    ReadingSession.objects.update(state="open")
    return made


def at_once(work: list[Callable[[Client], Any]], user: Any, threads: int = 8) -> list[Any]:
    """Run in threads, each with its own client and connection."""
    seat = threading.local()

    def run(task: Callable[[Client], Any]) -> Any:
        if not hasattr(seat, "client"):
            seat.client = Client(raise_request_exception=False)
            with login:
                seat.client.force_login(user, backend=BACKEND)
        return task(seat.client)

    def leave(_: int) -> None:
        barrier.wait()
        connection.close()

    login, barrier = threading.Lock(), threading.Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(run, work))
        list(pool.map(leave, range(threads)))
    return found


def post(client: Client, made: MadeStudy, case: str, body: dict[str, Any]) -> tuple[int, Any]:
    path = f"/read/{made.session().token}/case/{case}/answer/"
    options: dict[str, Any] = {"content_type": "application/json", "headers": {"Accept": "application/json"}}
    response = client.post(path, json.dumps(body), **options)
    return response.status_code, json.loads(response.content)


@pytest.mark.parametrize("pairs", SIZES)
def test_double_submits_are_one_deed(made: MadeStudy, pairs: int) -> None:
    """Each answer is sent twice at once under the same key; ten chains of versions run beside each other."""
    cases = list(made.session().cases.values_list("token", flat=True))
    user = made.readers[0].user
    statuses: Counter[int] = Counter()
    for round_ in range(pairs // 10):
        bodies = [
            (case, {"key": str(uuid.uuid4()), "version": round_,
                    "answer": {"diagnosis": CLASSES[round_ % 5], "confidence": 3}})
            for case in cases
        ]  # fmt: skip
        work = [lambda c, case=case, body=body: post(c, made, case, body) for case, body in bodies for _ in (1, 2)]
        replies = at_once(work, user)
        statuses.update(status for status, _ in replies)
        for first, second in zip(replies[::2], replies[1::2], strict=True):
            assert first == second
    assert statuses == {200: 2 * pairs}
    assert DraftEvent.objects.count() == pairs
    assert set(DraftReading.objects.values_list("version", flat=True)) == {pairs // 10}
    print(f"{connection.vendor}: {pairs} double submits, {DraftEvent.objects.count()} events, {dict(statuses)}")


@pytest.mark.parametrize("edits", EDITS)
def test_racing_edits_lose_nothing(made: MadeStudy, edits: int) -> None:
    """Eight windows edit the same ten cases; a loser is told with both versions and sends again on top."""
    cases = list(made.session().cases.values_list("token", flat=True))
    refused: Counter[int] = Counter()

    def edit(client: Client, n: int) -> None:
        case, version = cases[n % 10], 0
        answer = {"diagnosis": CLASSES[n % 5], "confidence": 1 + n % 5, "comment": f"edit {n}"}
        key = str(uuid.uuid4())
        while True:
            status, reply = post(client, made, case, {"key": key, "version": version, "answer": answer})
            refused[status] += status != 200
            if status == 200:
                return
            assert status == 409, reply
            assert reply["error"]["code"] == "E_VERSION"
            assert set(reply) == {"error", "version", "answer"}
            version = reply["version"]

    at_once([lambda c, n=n: edit(c, n) for n in range(edits)], made.readers[0].user)
    comments = [event.new["comment"] for event in DraftEvent.objects.all()]
    assert sorted(comments) == sorted(f"edit {n}" for n in range(edits))  # every edit once, none lost
    for case in made.session().cases.all():
        events = list(case.events.all())
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        for before, after in itertools.pairwise(events):
            assert after.old == before.new  # nobody overwrote what they had not seen
        assert case.draft.answer == events[-1].new
    print(f"{connection.vendor}: {edits} racing edits, {refused[409]} told to look again, other refusals: "
          f"{sum(n for s, n in refused.items() if s not in (200, 409))}")  # fmt: skip


def test_an_answer_that_races_the_seal_is_counted_or_refused(made: MadeStudy) -> None:
    from django.utils import timezone

    session = made.session()
    for case in session.cases.all():
        case.images.update(seen_at=timezone.now())
    DraftReading.objects.update(answer={"diagnosis": "ALL", "confidence": 1}, version=1)
    cases = list(session.cases.values_list("token", flat=True))
    signed = {"signed_name": "R", "password": PASSWORD, "agree": "on"}
    work: list[Callable[[Client], Any]] = [
        lambda c, case=case: post(
            c, made, case, {"key": str(uuid.uuid4()), "version": 1, "answer": {"diagnosis": "CML", "confidence": 5}}
        )[0]
        for case in cases
    ]
    work[3:3] = [lambda c: c.post(f"/read/{session.token}/seal/", signed).status_code] * 2
    replies = at_once(work, made.readers[0].user)
    seals, answers = replies[3:5], replies[:3] + replies[5:]
    assert 302 in seals
    assert set(seals) <= {302, 404}
    accepted = {case for case, status in zip(cases, answers, strict=True) if status == 200}
    assert set(answers) <= {200, 404}
    stored = {
        case.token: Reading.objects.get(session=session, position=case.position).diagnosis
        for case in session.cases.all()
    }
    assert stored == {case: "CML" if case in accepted else "ALL" for case in cases}
    assert Reading.objects.count() == 10


def test_a_session_that_is_opened_twice_at_once_opens_once(made: MadeStudy) -> None:
    from leukoweb.core.models import AuditEvent

    ReadingSession.objects.update(state="planned")
    token = made.session().token
    body = agreement(made.session())
    replies = at_once([lambda c: c.post(f"/read/{token}/", body).status_code] * 8, made.readers[0].user)
    assert replies == [302] * 8
    assert AuditEvent.objects.filter(action="reading.open").count() == 1


def test_nobody_begins_while_the_text_that_they_agree_to_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader agrees between the question whether anybody reads and the end of the amendment."""
    coordinator = world()
    study = make_locked(coordinator)
    session = sessions(study)[0]
    replies: list[int] = []
    client = Client(raise_request_exception=False)
    client.force_login(session.reader.user, backend=BACKEND)
    assert client.get(f"/read/{session.token}/").status_code == 200

    def begin() -> None:
        replies.append(client.post(f"/read/{session.token}/", agreement(session)).status_code)
        connection.close()

    reader = threading.Thread(target=begin)

    def asked(of: Any) -> bool:
        found = started(of)
        reader.start()
        reader.join(1.5)  # with nothing to wait for, the reader is through by now
        return found

    started = locking.reading_started
    monkeypatch.setattr(locking, "reading_started", asked)
    document = document_of(study) | {"consent": "I let the sponsor see my name."}
    locking.protocol_amend(
        actor=coordinator, study=study, base=1, document=document, reason="the sponsor asks",
        signature=sign(coordinator),
    )
    reader.join()
    session.refresh_from_db()
    assert (replies, session.state, session.rules["version"]) == ([409], "planned", 2)
