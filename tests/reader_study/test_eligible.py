"""What the services refuse cannot be inserted past them: raw SQL by whoever owns the database, on both of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from cases.models import AdjudicationDecision, Exposure, Patient, SortingTask
from cases.services import exposure_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.guards import install_guards, missing_guards
from leukoweb.core.models import User
from reader_study.models import CaseIdentity, ReadingSession, SessionCase, Study, StudyCase, StudyReader
from reader_study.protocol import protocol_sha256
from reader_study.services import locking, studies
from tests.reader_study.protocols import reader
from tests.reader_study.studies import make_locked, make_study, sessions, sign, user, world
from tests.reader_study.test_eligibility import (
    plant_exposure,
    plant_laid_out,
    plant_other_study,
    plant_reference,
    plant_sorting,
    taxonomy,
)

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
Plant = Callable[[User, Patient], None]


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


def plant_adjudication(who: User, patient: Patient) -> None:
    task = SortingTask.objects.create(name="Settle", taxonomy=taxonomy(), seed=1)
    seat = task.seats.create(user=who, seed=1, part="adjudicator")
    AdjudicationDecision.objects.create(
        task=task, seat=seat, image=patient.slides.get().images.first(), verdict="label", label="AML", blind=True,
        key="12345678-1234-4234-8234-123456789abd",
    )  # fmt: skip


PLANTS: dict[str, Plant] = {
    "sorted": plant_sorting,
    "settled": plant_adjudication,
    "saw the result": plant_exposure(Exposure.Kind.RESULT),
    "saw the reference": plant_exposure(Exposure.Kind.REFERENCE),
    "saw a label": plant_exposure(Exposure.Kind.LABEL),
    "entered the reference": plant_reference,
    "read elsewhere": plant_other_study,
    "is to read elsewhere": plant_laid_out,
}


def raw(sql: str, *values: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def raw_reader(study: Study, who: User | None) -> StudyReader:
    raw(
        "INSERT INTO reader_study_studyreader (study_id, user_id, label, specialty, training, time_zone, created_at) "
        "VALUES (%s, %s, 'X', '', '', 'UTC', %s)", study.pk, who.pk if who else None, timezone.now(),
    )  # fmt: skip
    return StudyReader.objects.get(study=study, label="X")


def raw_session(reader: StudyReader, number: int = 1) -> ReadingSession:
    raw(
        "INSERT INTO reader_study_readingsession (token, reader_id, number, arm, state, seed, current, rules, "
        "washout_days, imported) VALUES (%s, %s, %s, 'blinded', 'planned', 1, 1, '{}', 42, %s)",
        f"raw-{reader.pk}-{number}", reader.pk, number, False,
    )  # fmt: skip
    return ReadingSession.objects.get(reader=reader, number=number)


@pytest.mark.parametrize("contact", PLANTS)
def test_a_session_for_who_met_a_patient_is_refused_by_the_database(coordinator: User, contact: str) -> None:
    study, p3 = make_locked(coordinator), User.objects.get(username="p3")
    PLANTS[contact](p3, Patient.objects.get(code="Ext-002"))
    reader = raw_reader(study, p3)
    with pytest.raises(IntegrityError, match="has met one of these patients"):
        raw_session(reader)
    assert not reader.sessions.exists()
    with transaction.atomic():
        session = raw_session(raw_reader(make_study(coordinator, "Without cases"), p3))
    assert not session.cases.exists()  # a study without patients has none to meet


def test_a_case_cannot_be_slipped_into_a_session(coordinator: User) -> None:
    """The patient is met after the session was laid out, and joins the study past the services."""
    everybody = [p.code for p in Patient.objects.all()]
    study = make_locked(coordinator, cases={"cohort": "External", "patients": everybody[:-1], "training": []})
    p1, late = User.objects.get(username="p1"), Patient.objects.get(code=everybody[-1])
    session = sessions(study)[0]
    case = StudyCase.objects.create(study=study, patient=late, code="C-LATE", manifest=[], manifest_sha256="")
    place = SessionCase.objects.create(session=session, position=99, n_images=1)
    exposure_record(p1, late, "result")
    with pytest.raises(IntegrityError, match="has met one of these patients"):
        raw("INSERT INTO reader_study_caseidentity (case_id, study_case_id) VALUES (%s, %s)", place.pk, case.pk)
    foreign = make_locked(coordinator, "Foreign", readers=[reader("P1", "p3"), reader("P2", "p4")]).cases.first()
    with pytest.raises(IntegrityError):
        raw("INSERT INTO reader_study_caseidentity (case_id, study_case_id) VALUES (%s, %s)", place.pk, foreign.pk)
    assert not CaseIdentity.objects.filter(case=place).exists()


def test_nobody_coordinates_what_they_read(coordinator: User) -> None:
    study = make_locked(coordinator)
    with pytest.raises(IntegrityError, match="coordinates the study"):
        raw_reader(study, coordinator)
    p1, through = User.objects.get(username="p1"), "reader_study_study_coordinators"
    with pytest.raises(IntegrityError, match="reads in the study"):
        raw(f"INSERT INTO {through} (study_id, user_id) VALUES (%s, %s)", study.pk, p1.pk)
    with pytest.raises(IntegrityError, match="reads in the study"):
        raw(f"UPDATE {through} SET user_id = %s WHERE study_id = %s", p1.pk, study.pk)
    with pytest.raises(IntegrityError, match="reads in the study"), transaction.atomic():
        study.coordinators.add(p1)
    assert list(study.coordinators.all()) == [coordinator]
    with pytest.raises(IntegrityError, match="append-only"):
        raw("UPDATE reader_study_studyreader SET user_id = %s WHERE label = 'P2'", coordinator.pk)
    with pytest.raises(IntegrityError, match="append-only"):
        raw("UPDATE reader_study_readingsession SET reader_id = %s", study.readers.get(label="P2").pk)
    with pytest.raises(IntegrityError, match="append-only"):
        raw("DELETE FROM reader_study_readingsession")


def test_who_coordinates_gets_no_session_even_under_an_older_row(coordinator: User) -> None:
    study, p1 = make_locked(coordinator), User.objects.get(username="p1")
    User.objects.filter(pk=p1.pk).update(role="coordinator")
    studies.coordinator_add(actor=coordinator, study=study, user=User.objects.get(pk=p1.pk))
    with pytest.raises(IntegrityError, match="coordinates the study"):
        raw_session(study.readers.get(label="P1"), 3)


def test_a_contact_between_the_check_and_the_lock_is_a_refusal_in_words(
    coordinator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(coordinator)
    cases = locking._cases

    def meanwhile(*args: Any) -> None:
        cases(*args)
        exposure_record(User.objects.get(username="p2"), Patient.objects.get(code="Ext-001"), "result")

    monkeypatch.setattr(locking, "_cases", meanwhile)
    with pytest.raises(Conflict, match="P2 has met one of these patients a moment ago"):
        locking.study_lock(
            actor=coordinator, study=study, signature=sign(coordinator), sha256=protocol_sha256(study.draft)
        )
    study.refresh_from_db()
    assert (study.state, study.protocols.count()) == ("draft", 0)


def test_readers_of_elsewhere_and_the_panel_pass(coordinator: User) -> None:
    study = make_locked(coordinator)
    assert raw_session(raw_reader(study, None)).number == 1
    assert user("coordinator", "c3") not in study.coordinators.all()


def test_a_trigger_that_is_gone_is_missed_by_name(coordinator: User) -> None:
    """A server that misses one does not start (``require_guards``)."""
    assert missing_guards() == []
    gone = ["reader_study_study_coordinators_guard_change", "reader_study_readingsession_guard_insert"]
    for name in gone:
        on = "" if connection.vendor == "sqlite" else f" ON {name.partition('_guard')[0]}"
        raw(f"DROP TRIGGER {name}{on}")
    assert sorted(missing_guards()) == sorted(gone)
    install_guards()
    assert missing_guards() == []
