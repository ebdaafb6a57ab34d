"""Drafting, locking, amending, replacing, freezing, unblinding; and who must not read."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from cases.models import HpfImage, Patient
from leukoweb.core.exceptions import Conflict, NotAllowed
from leukoweb.core.models import User
from reader_study.models import (
    ProtocolVersion,
    ReadingSession,
    SessionCase,
    Study,
    StudyCase,
    StudyReader,
)
from reader_study.protocol import ProtocolRefused, protocol_sha256
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.studies import progress_of, study_list
from reader_study.services import conduct, locking, studies
from tests.reader_study.protocols import reader
from tests.reader_study.studies import (
    cohort,
    document_of,
    draft,
    make_locked,
    make_study,
    mark,
    sessions,
    sign,
    user,
    world,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


def lock(study: Study, who: User, **changes: Any) -> ProtocolVersion:
    return locking.study_lock(
        **{"actor": who, "study": study, "signature": sign(who), "sha256": protocol_sha256(study.draft)} | changes
    )


def refusal(study: Study, who: User) -> str:
    with pytest.raises(ProtocolRefused) as refused:
        lock(study, who)
    study.refresh_from_db()
    assert (study.state, study.protocols.count(), study.cases.count()) == ("draft", 0, 0)
    return refused.value.message


@pytest.mark.both_databases
def test_a_lock_lays_everything_out_once(coordinator: User) -> None:
    document = draft()
    document["cases"]["training"] = ["Ext-005"]
    study = studies.study_create(actor=coordinator, title="Smears", document=document)
    protocol = lock(study, coordinator)
    study.refresh_from_db()
    assert (study.state, study.cohort.name, protocol.version) == ("locked", "External", 1)
    assert protocol.sha256 == protocol_sha256(protocol.document) == protocol_sha256(study.draft)
    assert (protocol.signed_by, protocol.signed_name) == (coordinator, "Dr coordinator")
    cases = list(study.cases.all())
    assert (len(cases), [c.patient.code for c in cases if c.training]) == (6, ["Ext-005"])
    assert all(len(case.manifest) == 3 for case in cases)
    assert all(case.patient.code not in case.code for case in cases)
    assert [(s.reader.label, s.number, s.state) for s in sessions(study)] == [
        ("P1", 1, "planned"), ("P1", 2, "planned"), ("P2", 1, "planned"),
    ]  # fmt: skip
    assert SessionCase.objects.filter(session__reader__study=study).count() == 18
    assert len({s.seed for s in sessions(study)}) == 3
    with pytest.raises(Conflict, match="locked already"):
        lock(study, coordinator)


def test_codes_are_random_and_not_in_the_order_of_patients(coordinator: User) -> None:
    orders = set()
    for n in range(4):
        study = make_locked(coordinator, f"Study {n}", readers=[reader("P1", f"p{n + 1}")])
        by_row = [case.patient.code for case in study.cases.order_by("pk")]
        orders.add(tuple(by_row))
        assert [c.code for c in study.cases.order_by("pk")] == sorted(c.code for c in study.cases.all())
    assert len(orders) > 1


def test_what_was_signed_is_what_is_locked(coordinator: User) -> None:
    study = make_study(coordinator)
    seen = protocol_sha256(study.draft)
    studies.draft_save(actor=coordinator, study=study, document=study.draft | {"washout_days": 28}, version=0)
    with pytest.raises(Conflict, match="changed after you opened it"):
        lock(study, coordinator, sha256=seen)
    other = user("coordinator", "other")
    with pytest.raises(NotAllowed):
        lock(study, coordinator, signature=sign(other))
    with pytest.raises(NotAllowed):
        lock(study, other)


def test_one_changed_character_after_the_lock_is_detected_by_name(coordinator: User) -> None:
    study = make_locked(coordinator)
    document = document_of(study)
    document["instructions"] = document["instructions"].replace("One", "Ono")
    assert protocol_sha256(document) != study.protocols.get().sha256
    with pytest.raises(ProtocolRefused, match="instructions cannot change while reading is open"):
        mark(sessions(study)[0], "open")
        locking.protocol_amend(
            actor=coordinator, study=study, base=1, document=document, reason="a typing error",
            signature=sign(coordinator),
        )


@pytest.mark.both_databases
@pytest.mark.parametrize("table", ["reader_study_protocolversion", "reader_study_unblinding"])
def test_locks_and_unblindings_cannot_be_changed_below_the_services(coordinator: User, table: str) -> None:
    study = make_locked(coordinator)
    conduct.study_freeze(actor=coordinator, study=study, signature=sign(coordinator), stop_reason="no more money")
    conduct.study_unblind(actor=coordinator, study=study, reason="analysis planned", signature=sign(coordinator))
    column = {"reader_study_protocolversion": "sha256", "reader_study_unblinding": "reason"}[table]
    for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_an_incomplete_draft_is_kept_but_not_locked(coordinator: User) -> None:
    study = studies.study_create(actor=coordinator, title="Empty")
    assert "The study has no reader" in refusal(study, coordinator)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cases": {"cohort": "Nowhere", "patients": "all", "training": []}}, "There is no cohort 'Nowhere'"),
        (
            {"cases": {"cohort": "External", "patients": ["X-1"], "training": []}},
            "1 not in the cohort (or withdrawn): X-1",
        ),
        ({"readers": [reader("P1", "nobody")]}, "There is no user 'nobody'"),
        ({"readers": [reader("P1", "coordinator")]}, "only an active pathologist reads"),
        ({"ai": {"primary": {"name": "starter", "version": "9"}, "comparators": []}}, "There is no pipeline starter 9"),
    ],
)
def test_what_the_database_does_not_have_stops_a_lock(coordinator: User, change: Any, words: str) -> None:
    assert words in refusal(make_study(coordinator, **change), coordinator)


def test_patients_without_fields_withdrawn_or_unreviewed(coordinator: User) -> None:
    study = make_study(coordinator)
    Patient.objects.filter(code="Ext-000").update(withdrawn_at=timezone.now())
    assert feasibility(study, study.draft).problems == ()  # all: the withdrawn one is left out
    HpfImage.objects.filter(slide__patient__code="Ext-001").delete()
    assert "Some patients have no field (1): Ext-001" in refusal(study, coordinator)
    cohort(2, name="Fresh", reviewed=False)
    study = make_study(coordinator, "Fresh", cases={"cohort": "Fresh", "patients": "all", "training": []})
    assert "Some patients have slides that nobody has reviewed (2): Fre-000, Fre-001" in refusal(study, coordinator)


def test_warnings_do_not_stop_a_lock(coordinator: User) -> None:
    cohort(2, name="Thin", images=2, references=False)
    study = make_study(coordinator, "Thin", cases={"cohort": "Thin", "patients": "all", "training": []})
    one = HpfImage.objects.get(slide__patient__code="Thi-000", position=1)
    HpfImage.objects.filter(slide__patient__code="Thi-001", position=1).update(content_sha256=one.content_sha256)
    found = " ".join(str(warning) for warning in feasibility(study, study.draft).warnings)
    for words in (
        "fewer than 3 fields (2): Thi-000, Thi-001",
        "share an identical field",
        "2 of 2 patients without a reference",
    ):
        assert words in found
    lock(study, coordinator)


def test_a_last_day_before_everybody_can_be_through_is_worth_a_look(coordinator: User) -> None:
    study = make_study(coordinator, washout_days=42)

    def said(days: int) -> str:
        day = (timezone.localdate() + timedelta(days=days)).isoformat()
        found = feasibility(study, study.draft | {"closes_on": day}).warnings
        return " ".join(warning.message for warning in found if warning.path == "closes_on")

    assert said(42) == ""
    assert "With 1 pause of 42 days the last session opens on" in said(41)
    assert "is over already" in said(-1)


def test_two_designers_cannot_overwrite_each_other(coordinator: User) -> None:
    study = make_study(coordinator)
    one = studies.draft_save(actor=coordinator, study=study, document=study.draft | {"washout_days": 28}, version=0)
    assert (one.draft_version, one.draft["washout_days"]) == (1, 28)
    with pytest.raises(Conflict, match="Somebody saved this protocol in the meantime"):
        studies.draft_save(actor=coordinator, study=study, document=study.draft | {"washout_days": 14}, version=0)
    again = studies.draft_save(actor=coordinator, study=study, document=one.draft, version=0)
    assert again.draft_version == 1


def test_titles_are_unique_and_follow_the_draft(coordinator: User) -> None:
    make_study(coordinator, "One")
    two = make_study(coordinator, "Two")
    with pytest.raises(Conflict, match="There is a study with the title 'One' already"):
        studies.draft_save(actor=coordinator, study=two, document=two.draft | {"title": "One"}, version=0)
    studies.draft_save(actor=coordinator, study=two, document=two.draft | {"title": "Three"}, version=0)
    assert Study.objects.get(pk=two.pk).title == "Three"


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_racing_saves_and_locks_end_as_one(coordinator: User) -> None:
    """Ten designers save at once: one wins, nine are told. Then four sign at once: one lock."""
    study = make_study(coordinator)
    outcomes: list[str] = []

    def attempt(deed: Any) -> None:
        try:
            deed()
            outcomes.append("done")
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    def race(deeds: list[Any]) -> list[str]:
        outcomes.clear()
        threads = [threading.Thread(target=attempt, args=(deed,)) for deed in deeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(outcomes)

    save = [
        lambda days=days: studies.draft_save(
            actor=coordinator, study=study, document=study.draft | {"washout_days": days}, version=0
        )
        for days in range(50, 60)
    ]
    assert race(save) == ["E_STALE"] * 9 + ["done"]
    study.refresh_from_db()
    assert race([lambda: lock(study, coordinator)] * 4) == ["E_STATE"] * 3 + ["done"]
    assert (ProtocolVersion.objects.count(), StudyCase.objects.count(), ReadingSession.objects.count()) == (1, 6, 3)


def test_a_study_says_that_it_is_being_read_without_being_written_to(
    coordinator: User, django_assert_num_queries: Any
) -> None:
    study = make_locked(coordinator)
    first, *rest = sessions(study)

    def shown() -> tuple[str, str]:
        with django_assert_num_queries(1):
            now = progress_of(study_list(coordinator).get())
        assert progress_of(Study.objects.get(pk=study.pk)) == now
        return now.state, now.words

    assert shown() == ("locked", "Protocol locked, reading may begin")
    mark(first, "open")
    assert shown() == ("reading", "Being read: 0 of 3 sessions sealed")
    mark(first, "sealed")
    assert shown() == ("reading", "Being read: 1 of 3 sessions sealed")
    mark(rest[0], "void")
    assert shown() == ("reading", "Being read: 1 of 2 sessions sealed")
    mark(rest[1], "sealed")
    assert shown() == ("reading", "Read: all 2 sessions sealed")
    assert Study.objects.get().state == "locked"
    Study.objects.update(state="unblinded")
    panel = StudyReader.objects.create(study=study, label="Panel")
    ReadingSession.objects.create(reader=panel, number=1, seed=0, state="sealed")
    now = progress_of(study_list(coordinator).get())
    assert (now.state, now.n_sessions, now.n_sealed) == ("unblinded", 2, 2)
