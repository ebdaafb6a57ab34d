"""Who must not read: every earlier contact of a reader with the patients stops the lock, with the list."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cases.models import DatasetEntry, DatasetVersion, Exposure, HpfImage, Patient, ReferenceDiagnosis, Taxonomy
from cases.services import exposure_record
from inference.models import ModelVersion, PipelineVersion
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.services.users import ReasonNeeded, user_change
from reader_study.models import (
    CaseIdentity,
    DraftReading,
    ProtocolVersion,
    SessionCase,
    Study,
    StudyReader,
)
from reader_study.protocol import ProtocolRefused, protocol_sha256
from reader_study.selectors.contacts import with_contact
from reader_study.selectors.eligibility import trained_on
from reader_study.selectors.feasibility import feasibility
from reader_study.services import locking, studies
from tests.conftest import BACKEND
from tests.reader_study.protocols import reader
from tests.reader_study.studies import (
    cohort,
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


def plant_laid_out(who: User, patient: Patient) -> Study:
    only = {"cohort": "External", "patients": [patient.code], "training": []}
    readers = [reader("A", who.username, ("blinded", "blinded"))]
    return make_locked(user("coordinator", "c2"), "Elsewhere", readers=readers, cases=only)


def plant_other_study(who: User, patient: Patient) -> None:
    other = plant_laid_out(who, patient)
    mark(sessions(other)[0], "open")
    identity = CaseIdentity.objects.get(case__session=sessions(other)[0], study_case__patient=patient)
    SessionCase.objects.filter(pk=identity.case_id).update(opened_at=timezone.now())
    mark(sessions(other)[1], "void")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (plant_sorting, "sorted the images"),
        (plant_exposure(Exposure.Kind.RESULT), "saw the AI result"),
        (plant_exposure(Exposure.Kind.REFERENCE), "saw the reference diagnosis"),
        (plant_exposure(Exposure.Kind.LABEL), "saw a sorting label"),
        (plant_reference, "entered the reference diagnosis"),
        (plant_other_study, "read the patient elsewhere"),
        (plant_laid_out, "is to read the patient elsewhere"),
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
        manifest_sha256="a" * 64, n_images=1, n_patients=1,
    )  # fmt: skip
    trained = cohort(1, name="Training", purpose="development")
    image = HpfImage.objects.get(slide__patient__cohort=trained, position=1)
    same = HpfImage.objects.get(slide__patient__code="Ext-004", position=2)
    HpfImage.objects.filter(pk=image.pk).update(content_sha256=same.content_sha256)
    DatasetEntry.objects.create(
        dataset=version, number=1, image=image, patient=image.slide.patient, content_sha256=same.content_sha256,
        label="AML", split="internal",
    )  # fmt: skip
    model = ModelVersion.objects.create(
        name="m", version="1", slot="model_1", classes=[], card={"dataset": {"name": "Set", "version": 3}},
        recipe_sha256="", weights_sha256="", onnx_sha256="",
    )  # fmt: skip
    PipelineVersion.objects.create(name="trained", version="1", rule_set={}, model_1=model)
    study = make_study(coordinator, ai={"primary": {"name": "trained", "version": "1"}, "comparators": []})
    assert "trained 1 was made with images of 1 of these patients: Ext-004" in refusal(study, coordinator)

    before = DatasetVersion.objects.create(
        name="Set", version=2, taxonomy=taxonomy(), class_map="five", choices={}, flow=[], counts={}, proof={},
        manifest_sha256="b" * 64, n_images=1, n_patients=1,
    )  # fmt: skip
    image = HpfImage.objects.filter(slide__patient__code="Ext-002").first()
    DatasetEntry.objects.create(
        dataset=before, number=1, image=image, patient=image.slide.patient, content_sha256=image.content_sha256,
        label="AML", split="train",
    )  # fmt: skip
    starts = [str(version.public_id), str(before.public_id), "no id"]
    started = {"dataset": {}, "training": {"start_datasets": starts}}
    child = ModelVersion.objects.create(
        name="child", version="1", slot="model_1", classes=[], card=started, recipe_sha256="", weights_sha256="c" * 64,
        onnx_sha256="",
    )  # fmt: skip
    pipeline = PipelineVersion.objects.create(name="child", version="1", rule_set={}, model_1=child)
    patients = list(Patient.objects.values_list("pk", flat=True))
    found = trained_on(pipeline, patients, splits=DatasetEntry.Split.values)
    assert found == ["Ext-002"], "of a start's versions the training side alone"
    draft = study.draft | {"ai": {"primary": {"name": "child", "version": "1"}, "comparators": []}}
    assert "No card here says what child 1 learned from." in [w.message for w in feasibility(study, draft).warnings]

    for name, synthetic, training, warned in (
        ("elsewhere", False, {}, True),
        ("drawn", True, {}, False),
        ("continued", True, {"initial_weights_sha256": "c" * 64}, True),  # an older card: its start alone may be drawn
        ("drawn anew", True, {"initial_weights_sha256": "c" * 64, "start_synthetic": True}, False),
        ("from drawn", False, {"initial_weights_sha256": "9" * 64, "start_synthetic": True}, True),
    ):
        model = ModelVersion.objects.create(
            name=name, version="1", slot="model_1", classes=[], synthetic=synthetic,
            card={"dataset": {"dataset_version": str(uuid4())}, "training": training},
            recipe_sha256="", weights_sha256=sha256(name.encode()).hexdigest(), onnx_sha256="",
        )  # fmt: skip
        PipelineVersion.objects.create(name=name, version="1", rule_set={}, model_1=model)
        draft = study.draft | {"ai": {"primary": {"name": name, "version": "1"}, "comparators": []}}
        told = [w.message for w in feasibility(study, draft).warnings]
        assert (f"{name} 1 learned from 1 dataset version not in this installation." in told) == warned
        assert not any("the start of from drawn" in words for words in told), "phantoms hold no person"


def test_who_becomes_a_coordinator_stops_reading(coordinator: User, admin_user: User) -> None:
    study = make_locked(coordinator)
    p1 = User.objects.get(username="p1")
    mark(sessions(study)[0], "open")
    with pytest.raises(ReasonNeeded, match="loses for good: session 1 of"):
        user_change(actor=admin_user, user=p1, role="coordinator", reason=" ")
    user_change(actor=admin_user, user=p1, role="coordinator", reason="she runs it from now on")
    assert [s.state for s in sessions(study)] == ["void", "void", "planned"]
    assert StudyReader.objects.get(study=study, label="P1").withdrawn_at
    events = AuditEvent.objects.filter(action="session.void")
    assert [(e.reason, e.data["was"]) for e in events.order_by("id")] == [
        ("the reader became study coordinator: she runs it from now on", "open"),
        ("the reader became study coordinator: she runs it from now on", "planned"),
    ]  # fmt: skip
    studies.coordinator_add(actor=coordinator, study=study, user=p1)
    assert p1 in study.coordinators.all()


def test_the_users_page_says_what_a_role_ends_before_it_ends_it(coordinator: User, admin_user: User) -> None:
    study = make_locked(coordinator)
    p1, first = User.objects.get(username="p1"), sessions(study)[0]
    mark(first, "open")
    DraftReading.objects.filter(case__session=first, case__position__lte=2).update(
        answer={"diagnosis": "AML", "confidence": 3}
    )
    client = Client()
    client.force_login(admin_user, backend=BACKEND)
    here, events = reverse("user_change", args=[p1.pk]), AuditEvent.objects.count()
    for data in ({"role": "coordinator"}, {"role": "coordinator", "reason": "  "}):
        response = client.post(here, data)
        page = response.content.decode()
        assert response.status_code == 409
        assert "Session 1 of “A study” (2 of 6 cases answered)" in page
        assert "Session 2 of “A study” (not begun)" in page
        assert "ends cannot be taken back" in page
        assert ("<strong>Say why.</strong>" in page) == ("reason" in data)
    p1.refresh_from_db()
    assert (p1.role, AuditEvent.objects.count()) == ("pathologist", events)
    assert {s.state for s in sessions(study)} == {"open", "planned"}
    assert client.post(here, {"role": "coordinator", "reason": "she runs it"}).status_code == 302
    assert [s.state for s in sessions(study)] == ["void", "void", "planned"]
    assert AuditEvent.objects.get(action="user.change").reason == "she runs it"
    p2 = reverse("user_change", args=[User.objects.get(username="p3").pk])
    assert client.post(p2, {"role": "technician"}).status_code == 302, "nothing ends, so nothing is asked"


def test_the_last_coordinator_does_not_go_in_passing(coordinator: User, admin_user: User) -> None:
    study, other = make_locked(coordinator), user("coordinator", "c2")
    client = Client()
    client.force_login(admin_user, backend=BACKEND)
    here, alone = reverse("user_change", args=[coordinator.pk]), "The study “A study”, which nobody else coordinates"
    for data in ({"do": "disable"}, {"role": "technician"}):
        response = client.post(here, data)
        text = response.content.decode()
        assert (response.status_code, alone in text, "This ends" in text) == (409, True, False), data
    studies.coordinator_add(actor=coordinator, study=study, user=other)
    assert client.post(here, {"role": "technician"}).status_code == 302, "somebody else goes on"
    asked = client.post(reverse("user_change", args=[other.pk]), {"do": "disable"}).content.decode()
    assert f"Disable {other}?" in asked
    assert '<input type="hidden" name="do" value="disable">' in asked
    assert [name for name, _ in with_contact([sessions(study)[0]])[0].ask] == [str(other)], "a technician cannot help"
    command = ["study_coordinator", study.title, "c3", "--reason", "c2 left the hospital"]
    user("coordinator", "c3")
    with pytest.raises(CommandError, match="c2 coordinates “A study” and can add others"):
        call_command(*command)
    gone = client.post(reverse("user_change", args=[other.pk]), {"do": "disable", "reason": "left the hospital"})
    assert (gone.status_code, with_contact([sessions(study)[0]])[0].ask) == (302, [])
    call_command(*command)
    assert study.coordinators.filter(username="c3").exists()
    event = AuditEvent.objects.filter(action="study.coordinator_add").latest("pk")
    assert (event.actor, event.reason) == (None, "c2 left the hospital")
