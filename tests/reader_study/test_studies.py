"""Drafting, locking, amending, replacing, freezing, unblinding; and who must not read."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from cases.models import DatasetEntry, DatasetVersion, Exposure, HpfImage, Patient, ReferenceDiagnosis, Taxonomy
from cases.services import exposure_record
from inference.models import ModelVersion, PipelineVersion
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.services.users import user_change
from reader_study.models import (
    CaseIdentity,
    ProtocolVersion,
    ReadingSession,
    SessionCase,
    Study,
    StudyCase,
    StudyReader,
)
from reader_study.protocol import ProtocolRefused, protocol_sha256
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.studies import study_get, study_list
from reader_study.services import conduct, locking, studies, voiding
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
        study = make_locked(coordinator, f"Study {n}")
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
            actor=coordinator, study=study, document=document, reason="a typing error", signature=sign(coordinator)
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
    assert "1 patients have no field: Ext-001" in refusal(study, coordinator)
    cohort(2, name="Fresh", reviewed=False)
    study = make_study(coordinator, "Fresh", cases={"cohort": "Fresh", "patients": "all", "training": []})
    assert "2 patients have slides that nobody has reviewed: Fre-000, Fre-001" in refusal(study, coordinator)


def test_warnings_do_not_stop_a_lock(coordinator: User) -> None:
    cohort(2, name="Thin", images=2, references=False)
    study = make_study(coordinator, "Thin", cases={"cohort": "Thin", "patients": "all", "training": []})
    one = HpfImage.objects.get(slide__patient__code="Thi-000", position=1)
    HpfImage.objects.filter(slide__patient__code="Thi-001", position=1).update(content_sha256=one.content_sha256)
    found = " ".join(str(warning) for warning in feasibility(study, study.draft).warnings)
    for words in (
        "fewer than 3 fields: Thi-000, Thi-001",
        "share an identical field",
        "2 of 2 patients have no reference",
    ):
        assert words in found
    lock(study, coordinator)


# -- who must not read ----------------------------------------------------------------------------------------------


def plant_sorting(who: User, patient: Patient) -> None:
    from cases.models import SortingDecision, SortingSeat, SortingTask

    task = SortingTask.objects.create(name="Sort", taxonomy=taxonomy(), seed=1)
    seat = SortingSeat.objects.create(task=task, user=who, seed=1)
    image = HpfImage.objects.filter(slide__patient=patient).first()
    SortingDecision.objects.create(
        seat=seat, image=image, key="12345678-1234-4234-8234-123456789abc", verdict="label", label="AML"
    )


def taxonomy() -> Taxonomy:
    return Taxonomy.objects.first() or Taxonomy.objects.create(name="Labels", version=1, labels=[], maps={})


def plant_exposure(kind: str) -> Any:
    return lambda who, patient: exposure_record(who, patient, kind)


def plant_reference(who: User, patient: Patient) -> None:
    ReferenceDiagnosis.objects.create(patient=patient, diagnosis="AML", source="x", entered_by=who)


def plant_other_study(who: User, patient: Patient) -> None:
    other = make_locked(
        user("coordinator", "c2"), "Elsewhere", readers=[reader("A", who.username, ("blinded", "blinded"))]
    )
    mark(sessions(other)[0], "open")
    identity = CaseIdentity.objects.get(case__session=sessions(other)[0], study_case__patient=patient)
    SessionCase.objects.filter(pk=identity.case_id).update(opened_at=timezone.now())


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (plant_sorting, "sorted the images"),
        (plant_exposure(Exposure.Kind.RESULT), "saw the AI result"),
        (plant_exposure(Exposure.Kind.REFERENCE), "saw the reference diagnosis"),
        (plant_exposure(Exposure.Kind.LABEL), "saw a sorting label"),
        (plant_reference, "entered the reference diagnosis"),
        (plant_other_study, "read the patient elsewhere"),
    ],
)
def test_a_reader_who_met_a_patient_is_refused_with_the_overlap(coordinator: User, plant: Any, words: str) -> None:
    p2 = User.objects.get(username="p2")
    plant(p2, Patient.objects.get(code="Ext-002"))
    study = make_study(coordinator)
    message = refusal(study, coordinator)
    assert f"p2 has met 1 of these patients before: {words} (Ext-002)" in message
    assert "p1 has met" not in message
    refused = feasibility(study, study.draft).refused
    assert [(r.label, [o.patient for o in r.overlaps]) for r in refused] == [("P2", ["Ext-002"])]
    without = [p.code for p in Patient.objects.exclude(code="Ext-002")]
    draft_without = study.draft | {"cases": {"cohort": "External", "patients": without, "training": []}}
    lock(studies.draft_save(actor=coordinator, study=study, document=draft_without, version=0), coordinator)


def test_eligibility_asks_a_constant_number_of_questions(coordinator: User, django_assert_max_num_queries: Any) -> None:
    cohort(40, name="Large", images=1)
    study = make_study(coordinator, cases={"cohort": "Large", "patients": "all", "training": []})
    with django_assert_max_num_queries(25):
        feasibility(study, study.draft)


def test_patients_that_made_the_pipeline_are_refused(coordinator: User) -> None:
    version = DatasetVersion.objects.create(
        name="Set", version=3, taxonomy=taxonomy(), class_map="five", choices={}, flow=[], counts={}, proof={},
        manifest_sha256="a" * 64,
    )  # fmt: skip
    trained = cohort(1, name="Training", purpose="development")
    image = HpfImage.objects.get(slide__patient__cohort=trained, position=1)
    same = HpfImage.objects.get(slide__patient__code="Ext-004", position=2)
    HpfImage.objects.filter(pk=image.pk).update(content_sha256=same.content_sha256)
    DatasetEntry.objects.create(
        dataset=version, image=image, patient=image.slide.patient, content_sha256=same.content_sha256, label="AML",
        split="internal",
    )  # fmt: skip
    model = ModelVersion.objects.create(
        name="m", version="1", slot="model_1", classes=[], card={"dataset": {"name": "Set", "version": 3}},
        recipe_sha256="", weights_sha256="", onnx_sha256="",
    )  # fmt: skip
    PipelineVersion.objects.create(name="trained", version="1", rule_set={}, model_1=model)
    study = make_study(coordinator, ai={"primary": {"name": "trained", "version": "1"}, "comparators": []})
    assert "trained 1 was made with images of 1 of these patients: Ext-004" in refusal(study, coordinator)


def test_who_becomes_a_coordinator_stops_reading(coordinator: User, admin_user: User) -> None:
    study = make_locked(coordinator)
    p1 = User.objects.get(username="p1")
    mark(sessions(study)[0], "open")
    user_change(actor=admin_user, user=p1, role="coordinator")
    assert [s.state for s in sessions(study)] == ["void", "void", "planned"]
    assert StudyReader.objects.get(study=study, label="P1").withdrawn_at
    events = AuditEvent.objects.filter(action="session.void")
    assert [(e.reason, e.data["was"]) for e in events.order_by("id")] == [
        ("the reader became study coordinator", "open"), ("the reader became study coordinator", "planned"),
    ]  # fmt: skip
    studies.coordinator_add(actor=coordinator, study=study, user=p1)
    assert p1 in study.coordinators.all()


# -- drafts ---------------------------------------------------------------------------------------------------------


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


# -- running --------------------------------------------------------------------------------------------------------


def test_extending_is_a_signed_amendment(coordinator: User) -> None:
    study = make_locked(coordinator)
    mark(sessions(study)[0], "open")
    day = timezone.localdate() + timedelta(days=90)
    study = conduct.study_extend(
        actor=coordinator, study=study, closes_on=day, reason="a reader was ill", signature=sign(coordinator)
    )
    newest = study.protocols.order_by("-version").first()
    assert (study.closes_on, newest.version, newest.amendment_reason) == (day, 2, "a reader was ill")
    assert AuditEvent.objects.get(action="study.amend").data["changes"] == [
        {"path": "closes_on", "old": None, "new": day.isoformat()}
    ]
    assert all(s.rules["closes_on"] == day.isoformat() for s in sessions(study))
    with pytest.raises(DomainError, match="over already"):
        conduct.study_extend(actor=coordinator, study=study, closes_on=timezone.localdate() - timedelta(days=1),
                             reason="a reader was ill", signature=sign(coordinator))  # fmt: skip
    with pytest.raises(DomainError, match="Give a reason"):
        conduct.study_extend(actor=coordinator, study=study, closes_on=None, reason=" ", signature=sign(coordinator))


def test_a_replaced_reader_stops_and_the_new_one_gets_orders_of_their_own(coordinator: User) -> None:
    study = make_locked(coordinator)
    before = sessions(study)
    mark(before[0], "sealed")
    mark(before[1], "open")
    old = StudyReader.objects.get(study=study, label="P1")
    new = {key: value for key, value in reader("P1b", "p3").items() if key != "sessions"}
    conduct.reader_replace(
        actor=coordinator, reader=old, replacement=new, reason="left the hospital", signature=sign(coordinator)
    )
    replacement = StudyReader.objects.get(study=study, label="P1b")
    assert replacement.replaces == old
    assert [(s.reader.label, s.state) for s in sessions(study)] == [
        ("P1", "sealed"), ("P1", "void"), ("P1b", "planned"), ("P1b", "planned"), ("P2", "planned"),
    ]  # fmt: skip
    tokens = [set(SessionCase.objects.filter(session=s).values_list("token", flat=True)) for s in sessions(study)]
    assert len(set().union(*tokens)) == 5 * 6
    old.refresh_from_db()
    with pytest.raises(Conflict, match="has left the study already"):
        conduct.reader_replace(
            actor=coordinator, reader=old, replacement=new | {"label": "P1c"}, reason="left again",
            signature=sign(coordinator),
        )  # fmt: skip


def test_a_replacement_who_met_the_patients_is_refused_and_nobody_leaves(coordinator: User) -> None:
    study = make_locked(coordinator)
    plant_sorting(User.objects.get(username="p3"), Patient.objects.get(code="Ext-001"))
    new = {key: value for key, value in reader("P1b", "p3").items() if key != "sessions"}
    with pytest.raises(ProtocolRefused, match="p3 has met 1 of these patients before"):
        conduct.reader_replace(
            actor=coordinator, reader=study.readers.get(label="P1"), replacement=new, reason="left the hospital",
            signature=sign(coordinator),
        )  # fmt: skip
    assert not study.readers.exclude(withdrawn_at=None).exists()
    assert study.protocols.count() == 1


def test_freeze_waits_for_everybody_or_needs_a_reason(coordinator: User) -> None:
    study = make_locked(coordinator)
    for session in sessions(study)[:2]:
        mark(session, "sealed")
    with pytest.raises(Conflict, match="1 sessions are not finished, the first is session 1 of P2"):
        conduct.study_freeze(actor=coordinator, study=study, signature=sign(coordinator))
    with pytest.raises(Conflict, match="freeze the data first"):
        conduct.study_unblind(actor=coordinator, study=study, reason="curious", signature=sign(coordinator))
    stopped = conduct.study_freeze(
        actor=coordinator, study=study, signature=sign(coordinator), stop_reason="reader left"
    )
    assert stopped.state == "stopped"
    assert [s.state for s in sessions(study)] == ["sealed", "sealed", "void"]


def test_freeze_then_unblind_once(coordinator: User) -> None:
    study = make_locked(coordinator)
    for session in sessions(study):
        mark(session, "sealed")
    conduct.study_freeze(actor=coordinator, study=study, signature=sign(coordinator))
    with pytest.raises(Conflict, match="cannot be amended"):
        locking.protocol_amend(
            actor=coordinator, study=study, document=document_of(study) | {"closes_on": "2030-01-01"},
            reason="too late", signature=sign(coordinator),
        )  # fmt: skip
    with pytest.raises(DomainError, match="Give a reason"):
        conduct.study_unblind(actor=coordinator, study=study, reason="", signature=sign(coordinator))
    event = conduct.study_unblind(
        actor=coordinator, study=study, reason="analysis as planned", signature=sign(coordinator)
    )
    assert (event.study.state, event.signed_by) == ("unblinded", coordinator)
    assert AuditEvent.objects.filter(action="study.unblind", reason="analysis as planned").count() == 1
    with pytest.raises(Conflict):
        conduct.study_unblind(actor=coordinator, study=study, reason="once more", signature=sign(coordinator))


def test_nothing_read_is_nothing_to_freeze(coordinator: User) -> None:
    study = make_locked(coordinator)
    for session in sessions(study):
        voiding.session_void(actor=coordinator, session=session, reason="test")
    with pytest.raises(Conflict, match="Nobody has read anything"):
        conduct.study_freeze(actor=coordinator, study=study, signature=sign(coordinator))


def test_a_sealed_session_is_never_voided(coordinator: User) -> None:
    session = sessions(make_locked(coordinator))[0]
    mark(session, "sealed")
    assert voiding.session_void(actor=coordinator, session=session, reason="too late") is False
    assert sessions(Study.objects.get())[0].state == "sealed"


def test_coordinators_see_and_change_only_their_studies(coordinator: User, django_assert_num_queries: Any) -> None:
    mine = make_study(coordinator, "Mine")
    other = user("coordinator", "other")
    theirs = make_study(other, "Theirs")
    with django_assert_num_queries(1):
        assert [s.title for s in study_list(coordinator)] == ["Mine"]
    assert study_get(mine.public_id, for_user=coordinator) == mine
    with pytest.raises(DomainError, match="no such study among yours"):
        study_get(theirs.public_id, for_user=coordinator)
    for deed in (
        lambda: studies.draft_save(actor=coordinator, study=theirs, document=theirs.draft, version=0),
        lambda: lock(theirs, coordinator),
        lambda: studies.coordinator_add(actor=coordinator, study=theirs, user=coordinator),
        lambda: conduct.study_freeze(actor=coordinator, study=theirs, signature=sign(coordinator)),
        lambda: conduct.study_unblind(actor=coordinator, study=theirs, reason="curious", signature=sign(coordinator)),
    ):
        with pytest.raises(NotAllowed, match="Only a coordinator of this study"):
            deed()


def test_one_coordinator_always_remains(coordinator: User) -> None:
    study = make_study(coordinator)
    other = user("coordinator", "other")
    with pytest.raises(Conflict, match="At least one"):
        studies.coordinator_remove(actor=coordinator, study=study, user=coordinator)
    studies.coordinator_add(actor=coordinator, study=study, user=other)
    studies.coordinator_remove(actor=coordinator, study=study, user=coordinator)
    assert list(study.coordinators.all()) == [other]
