"""Running a study: extend, replace, freeze, unblind; and whose study it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cases.models import Patient
from cases.services import exposure_record
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed
from leukoweb.core.models import AuditEvent, User
from reader_study.models import (
    SessionCase,
    Study,
    StudyReader,
)
from reader_study.protocol import ProtocolRefused
from reader_study.selectors.studies import study_get, study_list
from reader_study.services import conduct, locking, studies, voiding
from tests.conftest import BACKEND
from tests.reader_study.protocols import reader
from tests.reader_study.studies import (
    document_of,
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
    with pytest.raises(Conflict, match="P1b reads in the place of P1 already"):
        conduct.reader_replace(
            actor=coordinator, reader=old, replacement=new | {"label": "P1c"}, reason="left again",
            signature=sign(coordinator),
        )  # fmt: skip


def test_who_was_taken_off_by_another_role_is_replaced(coordinator: User, client: Client) -> None:
    study = make_locked(coordinator)
    old = study.readers.get(label="P1")
    User.objects.filter(pk=old.user_id).update(role="technician")
    voiding.role_changed(actor=None, user=User.objects.get(pk=old.user_id))
    old.refresh_from_db()
    left = old.withdrawn_at
    client.force_login(coordinator, backend=BACKEND)
    page = reverse("study_detail", args=[study.public_id])
    here = reverse("study_reader_replace", args=[study.public_id, old.pk])
    assert left
    assert here in client.get(page).content.decode()
    new = {key: value for key, value in reader("P1b", "p3").items() if key != "sessions"}
    conduct.reader_replace(
        actor=coordinator, reader=old, replacement=new, reason="left the hospital", signature=sign(coordinator)
    )
    old.refresh_from_db()
    assert (old.replaced_by.label, old.withdrawn_at) == ("P1b", left)
    assert [(s.reader.label, s.state) for s in sessions(study)] == [
        ("P1", "void"), ("P1", "void"), ("P1b", "planned"), ("P1b", "planned"), ("P2", "planned"),
    ]  # fmt: skip
    assert here not in client.get(page).content.decode()


def test_a_replacement_who_met_the_patients_is_refused_and_nobody_leaves(coordinator: User) -> None:
    study = make_locked(coordinator)
    exposure_record(User.objects.get(username="p3"), Patient.objects.get(code="Ext-001"), "result")
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
    with pytest.raises(Conflict, match="1 session not finished, the first is session 1 of P2"):
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
            actor=coordinator, study=study, base=1, document=document_of(study) | {"closes_on": "2030-01-01"},
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
    stopped = conduct.study_freeze(
        actor=coordinator, study=study, signature=sign(coordinator), stop_reason="all readers left"
    )
    assert stopped.state == "stopped", "not open for ever"
    assert AuditEvent.objects.get(action="study.stop").reason == "all readers left"


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
        lambda: locking.study_lock(actor=coordinator, study=theirs, signature=sign(coordinator), sha256=""),
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
