"""A patient is withdrawn while a study is read: nobody is kept from finishing, and what was read before stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cases.services.withdrawals import patient_withdraw
from leukoweb.core.models import AuditEvent
from reader_study.models import Reading, ReadingSession, SessionCase
from reader_study.ordering import session_seed
from reader_study.selectors.analysis_inputs import study_inputs
from reader_study.selectors.grid import study_grid
from reader_study.services.orders import session_materialise
from reader_study.services.seals import seal_verify
from tests.reader_study.factories import MadeStudy, make_study
from tests.reader_study.journey import Journey

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MakeUser = Callable[..., Any]


@pytest.fixture
def reader(make_user: MakeUser) -> Any:
    return make_user("pathologist", "reader")


@pytest.fixture
def withdraw(make_user: MakeUser) -> Callable[[SessionCase], None]:
    """``withdraw(case)``: the patient whom a case of a session shows, by an admin."""

    def run(case: SessionCase) -> None:
        patient = case.identity.study_case.patient
        patient_withdraw(actor=make_user("admin", "admin"), patient=patient, reason="asked for it")

    return run


def begun(made: MadeStudy) -> Journey:
    journey = Journey("reader", made.session())
    journey.login()
    journey.consent()
    return journey


def test_a_session_is_finished_without_a_patient_who_was_withdrawn(reader: Any, withdraw: Any) -> None:
    made = make_study(users=[reader], n_cases=3, n_fields=2)
    journey = begun(made)
    first, *others = made.session().cases.order_by("position")
    journey.post_json(f"case/{first.token}/show/")
    image = first.images.first()
    withdraw(first)
    assert journey.ask("GET", f"{journey.base}image/{image.token}/").status_code == 404
    shown = journey.get_json(f"case/{first.token}/")
    assert (shown["gone"], shown["fields"], shown["assistance"]) == (True, [], None)
    status, refused = journey.answer(first.token, {"diagnosis": "AML", "confidence": 3}, 0)
    assert (status, refused["error"]["code"]) == (409, "E_GONE")
    for case in others:
        journey.read_case(case.token, "CML")
    state = journey.get_json("state/")
    assert state["complete"] == 3
    assert [line["gone"] for line in state["cases"]] == [True, False, False]
    assert "3 of 3 cases answered" in journey.ask("GET", "/read/").recorded.decode()
    assert "1 case left the study meanwhile" in journey.ask("GET", f"{journey.base}seal/").recorded.decode()
    assert [cell.state for cell in study_grid(made.study)[1][0].cells].count("gone") == 1
    assert journey.seal().status_code == 302
    session = made.session()
    assert seal_verify(session)
    assert sorted(session.readings.values_list("position", flat=True)) == [2, 3]
    assert [cell.state for cell in study_grid(made.study)[1][0].cells].count("done") == 2
    assert AuditEvent.objects.get(action="study.case_gone").data == {
        "case": first.identity.study_case.code, "sessions": 1, "why": "patient withdrawn",
    }  # fmt: skip
    steps = {step["step"]: step["n"] for step in study_inputs(made.study, interim=True, reason="x")["flow"]["steps"]}
    assert steps["Withdrawn while it was read"] == 1
    assert steps["Read in every primary session"] == 2
    assert "Not read by all" not in steps


def test_reading_forward_goes_past_a_patient_who_was_withdrawn(reader: Any, withdraw: Any) -> None:
    made = make_study(users=[reader], n_cases=3, n_fields=1, navigation="forward_only")
    journey = begun(made)
    first, second, _ = made.session().cases.order_by("position")
    journey.read_case(first.token, "AML")
    assert journey.post_json("next/")[0] == 200
    withdraw(second)
    assert journey.post_json("next/")[0] == 200
    assert made.session().current == 3


def test_what_was_read_before_a_withdrawal_stays(reader: Any, withdraw: Any) -> None:
    """Whole readings; half an answer is none."""
    made = make_study(users=[reader], n_cases=2, n_fields=2)
    journey = begun(made)
    first, second = made.session().cases.order_by("position")
    journey.read_case(first.token, "AML")
    journey.post_json(f"case/{second.token}/show/")
    journey.answer(second.token, {"diagnosis": "CML", "confidence": 2}, 0)  # without looking at the fields
    withdraw(first)
    withdraw_second = second.identity.study_case.patient
    patient_withdraw(actor=None, patient=withdraw_second, reason="asked for it")  # type: ignore[arg-type]
    assert journey.seal().status_code == 302
    assert list(Reading.objects.values_list("position", "diagnosis")) == [(1, "AML")]


def test_a_sealed_session_and_other_patients_are_not_touched(reader: Any, withdraw: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=1)
    journey = begun(made)
    journey.read_all()
    journey.seal()
    withdraw(made.session().cases.get(position=1))
    assert not SessionCase.objects.exclude(gone_at=None).exists()
    assert not AuditEvent.objects.filter(action="study.case_gone").exists()
    assert seal_verify(made.session())
    assert Reading.objects.count() == 2


def test_a_session_that_is_laid_out_later_has_the_case_gone(reader: Any, withdraw: Any, make_user: MakeUser) -> None:
    made = make_study(users=[make_user("pathologist", "first")], n_cases=2, n_fields=1)
    withdraw(made.session().cases.get(position=1))
    who = made.study.readers.create(user=reader, label="P2")
    seed = session_seed(7, "P2", 1)
    session = session_materialise(
        session=ReadingSession.objects.create(reader=who, number=1, arm="blinded", seed=seed), protocol=made.protocol
    )
    made.readers[0] = who
    gone = session.cases.exclude(gone_at=None).get()
    assert gone.identity.study_case.patient.withdrawn_at is not None
    journey = begun(made)
    journey.read_case(session.cases.get(gone_at=None).token, "ALL")
    assert journey.seal().status_code == 302
