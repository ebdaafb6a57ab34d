"""Random deeds of readers; then the events alone give back every table, and nothing was written without an event."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leukoweb.core.audit import chain_verify
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import AuditEvent
from leukoweb.core.signing import Signature
from reader_study.answers import empty_answer
from reader_study.models import DraftEvent, DraftReading, Reading, ReadingSession
from reader_study.services.readings import answer_save, case_show
from reader_study.services.seals import session_seal
from tests.reader_study.factories import CLASSES, MadeStudy, make_study

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
FIELDS = ("diagnosis", "cannot_decide", "confidence", "comment")
DEED = st.tuples(
    st.sampled_from(["answer"] * 12 + ["stale", "again", "nonsense", "show", "seal"]), st.integers(0, 10**6)
)


class Readers:
    """Two readers with four cases each, the deeds that succeeded, and what they should have left."""

    def __init__(self, made: MadeStudy) -> None:
        self.made = made
        self.sessions = [made.session(n) for n in range(2)]
        self.keys: dict[uuid.UUID, tuple[int, int, dict[str, Any]]] = {}
        self.expected: dict[int, list[dict[str, Any]]] = {}
        self.counted: Counter[str] = Counter()

    def do(self, name: str, number: int) -> None:
        chooser = random.Random(number)
        session = self.sessions[number % 2]
        case = chooser.choice(list(session.cases.all()))
        try:
            getattr(self, name)(session, case, chooser)
            self.counted[name] += 1
        except DomainError as refused:
            self.counted[f"{name}: {refused.code}"] += 1

    def answer(self, session: Any, case: Any, chooser: random.Random, *, behind: int = 0) -> None:
        known = self.expected.setdefault(case.pk, [])
        answer = {"diagnosis": chooser.choice(CLASSES), "confidence": chooser.randint(1, 5),
                  "comment": f"{chooser.random()}"}  # fmt: skip
        key = uuid.UUID(int=chooser.getrandbits(128), version=4)
        answer_save(session=session, case=case, key=key, version=max(0, len(known) - behind), answer=answer)
        if key in self.keys:
            return
        self.keys[key] = (session.pk, case.pk, answer)
        known.append(answer)

    def stale(self, session: Any, case: Any, chooser: random.Random) -> None:
        if self.expected.get(case.pk):
            self.answer(session, case, chooser, behind=1)

    def again(self, session: Any, case: Any, chooser: random.Random) -> None:
        """The same key, as a proxy or an impatient hand sends it."""
        if self.keys:
            key = chooser.choice(list(self.keys))
            session_pk, case_pk, answer = self.keys[key]
            session = next(s for s in self.sessions if s.pk == session_pk)
            answer_save(session=session, case=session.cases.get(pk=case_pk), key=key, version=0, answer=answer)

    def nonsense(self, session: Any, case: Any, chooser: random.Random) -> None:
        answer_save(
            session=session, case=case, key=uuid.uuid4(), version=0, answer={"diagnosis": "Flu", "confidence": 9}
        )

    def show(self, session: Any, case: Any, chooser: random.Random) -> None:
        case_show(session=session, case=case)

    def seal(self, session: Any, case: Any, chooser: random.Random) -> None:
        session_seal(session=session, signature=Signature(session.reader.user, "R", "meaning", "password"))

    def check(self) -> None:
        """Fold the events; compare with drafts, readings and what was done."""
        for session in self.sessions:
            sealed = ReadingSession.objects.get(pk=session.pk).state == "sealed"
            for case in session.cases.all():
                folded = empty_answer()
                events = list(DraftEvent.objects.filter(case=case).order_by("id"))
                for number, event in enumerate(events, start=1):
                    assert event.version == number
                    assert event.old == folded
                    folded = event.new
                known = self.expected.get(case.pk, [])
                assert [{name: e.new[name] for name in known[0]} for e in events] == known if known else events == []
                if sealed:
                    reading = Reading.objects.get(session=session, position=case.position)
                    assert {name: getattr(reading, name) for name in FIELDS} == {name: folded[name] for name in FIELDS}
                    assert not DraftReading.objects.filter(case=case).exists()
                else:
                    draft = DraftReading.objects.get(case=case)
                    assert (draft.version, empty_answer() | draft.answer) == (len(events), folded)
                    assert not Reading.objects.filter(session=session).exists()
        seals = AuditEvent.objects.filter(action="reading.seal").count()
        assert seals == ReadingSession.objects.filter(state="sealed").count()
        assert chain_verify().intact


def play(make_user: Callable[..., Any], examples: int, deeds: int) -> Counter[str]:
    total: Counter[str] = Counter()
    users = [make_user("pathologist", f"r{n}") for n in range(2)]

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(DEED, min_size=deeds, max_size=deeds))
    def run(script: list[tuple[str, int]]) -> None:
        from django.db import transaction

        class Undo(Exception):
            pass

        try:
            with transaction.atomic():
                made = make_study(users=users, n_cases=4, n_fields=1, require_all_viewed=False)
                ReadingSession.objects.update(state="open")
                readers = Readers(made)
                for name, number in script:
                    readers.do(name, number)
                readers.check()
                total.update(readers.counted)
                raise Undo
        except Undo:
            pass

    run()
    return total


@pytest.mark.parametrize(
    ("examples", "deeds"),
    [pytest.param(4, 40, id="fast"), pytest.param(64, 80, id="full", marks=pytest.mark.slow)],
)
def test_events_alone_give_back_every_table(make_user: Callable[..., Any], examples: int, deeds: int) -> None:
    done = play(make_user, examples, deeds)
    print(f"{sum(done.values())} random deeds in {examples} studies: {dict(done)}")
    assert sum(done.values()) >= examples * deeds
    assert done["answer"] > examples
    assert {"stale: E_VERSION", "again"} <= set(done)
