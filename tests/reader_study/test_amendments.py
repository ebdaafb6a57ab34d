"""Amendments against the database: other pipelines, replacements on the frozen cases, a title that is taken."""

from __future__ import annotations

from typing import Any

import pytest

from cases.models import Cohort, HpfImage, Patient, Slide
from cases.services import exposure_record
from cases.services.withdrawals import patient_withdraw
from inference.models import PatientPrediction, PipelineRun, PipelineVersion
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import AuditEvent, Job, User
from reader_study.models import SessionAssistance, Study
from reader_study.protocol import ProtocolRefused
from reader_study.selectors.feasibility import feasibility
from reader_study.services import conduct, locking
from tests.reader_study.protocols import reader
from tests.reader_study.studies import document_of, make_locked, make_study, sessions, sign, world

pytestmark = pytest.mark.django_db
OTHER = {"primary": {"name": "other", "version": "1"}, "comparators": []}


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


def amend(study: Study, coordinator: User, **changes: Any) -> None:
    locking.protocol_amend(
        actor=coordinator, study=study, base=study.protocols.count(), document=document_of(study) | changes,
        reason="it was planned otherwise", signature=sign(coordinator),
    )  # fmt: skip


def replace(study: Study, coordinator: User, username: str) -> None:
    new = {key: value for key, value in reader("P1b", username).items() if key != "sessions"}
    conduct.reader_replace(
        actor=coordinator, reader=study.readers.get(label="P1"), replacement=new, reason="left the hospital",
        signature=sign(coordinator),
    )  # fmt: skip


def with_results(pipeline: PipelineVersion, diagnosis: str = "AML") -> None:
    for slide in Slide.objects.filter(code__endswith="-S").select_related("patient"):
        job = Job.objects.create(kind="inference.run", title=f"p on {slide.code}", queue="infer", status="done")
        run = PipelineRun.objects.create(pipeline=pipeline, slide=slide, job=job)
        PatientPrediction.objects.create(
            run=run, patient=slide.patient, slide=slide, diagnosis=diagnosis, diagnosis_3="ACUTE",
            diagnosis_5=diagnosis, images=list(slide.images.values("content_sha256")),
        )  # fmt: skip


def test_an_amendment_to_another_pipeline_passes_the_checks_of_the_lock(coordinator: User, monkeypatch: Any) -> None:
    study = make_locked(coordinator)
    with pytest.raises(ProtocolRefused, match="There is no pipeline other 1"):
        amend(study, coordinator, ai=OTHER)
    PipelineVersion.objects.create(name="other", version="1", rule_set={})
    frozen = set(study.cases.values_list("patient", flat=True))
    met = {"found": ["Ext-002"]}

    def trained_on(pipeline: PipelineVersion, patients: list[int], *, splits: Any) -> list[str]:
        assert (pipeline.name, set(patients)) == ("other", frozen)
        return met["found"]

    monkeypatch.setattr("reader_study.selectors.feasibility.trained_on", trained_on)
    with pytest.raises(ProtocolRefused, match="other 1 was made with images of 1 of these patients: Ext-002"):
        amend(study, coordinator, ai=OTHER)
    met["found"] = []
    amend(study, coordinator, ai=OTHER)
    assert document_of(study)["ai"] == OTHER


def test_an_amendment_from_an_older_text_undoes_nothing(coordinator: User) -> None:
    study = make_locked(coordinator)
    text = document_of(study)
    amend(study, coordinator, closes_on="2090-01-01")
    with pytest.raises(Conflict, match="comes from version 1, and version 2 is in force") as refused:
        locking.protocol_amend(
            actor=coordinator, study=study, base=1, document=text | {"washout_days": 50}, reason="it was planned so",
            signature=sign(coordinator),
        )  # fmt: skip
    assert (refused.value.code, document_of(study)["closes_on"]) == ("E_STALE", "2090-01-01")
    with pytest.raises(ProtocolRefused, match="2020-01-01 is over already"):
        amend(study, coordinator, closes_on="2020-01-01")


def test_the_pipeline_that_sessions_show_stays(coordinator: User) -> None:
    """What a session shows was copied when it was laid out; a new reader would see another pipeline's result."""
    with_results(PipelineVersion.objects.get(name="starter"))
    with_results(PipelineVersion.objects.create(name="other", version="1", rule_set={}))
    study = make_locked(
        coordinator, arms=["blinded", "ai_assisted"], readers=[reader("P1", "p1", ("blinded", "ai_assisted"))]
    )
    with pytest.raises(ProtocolRefused, match=r"laid out with that of the locked pipeline"):
        amend(study, coordinator, ai=OTHER)
    ai = document_of(study)["ai"]
    amend(study, coordinator, ai=ai | {"comparators": [OTHER["primary"]]})  # which no session shows
    assert document_of(study)["ai"]["primary"] == ai["primary"]


def test_what_the_ai_says_of_a_case_is_one_result_and_the_same_for_everybody(coordinator: User) -> None:
    """That of the slide whose fields the case has, as in the analysis; who joins later sees what the others saw."""
    starter = PipelineVersion.objects.get(name="starter")
    plan: dict[str, Any] = {
        "arms": ["blinded", "ai_assisted"], "readers": [reader("P1", "p1", ("blinded", "ai_assisted"))],
    }  # fmt: skip
    draft = make_study(coordinator, "Too early", **plan)
    assert "Some patients have no result by starter 1 (6): Ext-000" in str(feasibility(draft, draft.draft).problems)
    with_results(starter)
    other = Slide.objects.create(code="Ext-000-other", patient=Patient.objects.get(code="Ext-000"))
    job = Job.objects.create(kind="inference.run", title="other", queue="infer", status="done")
    run = PipelineRun.objects.create(pipeline=starter, slide=other, job=job)
    PatientPrediction.objects.create(run=run, patient=other.patient, slide=other, diagnosis="CLL", diagnosis_5="CLL")
    told = feasibility(draft, draft.draft)
    assert "no result" not in str(told.problems)
    assert "rest on other fields" not in str(told.warnings)
    fields = HpfImage.objects.filter(slide__patient__code="Ext-001")
    HpfImage.objects.filter(pk=fields.last().pk).delete()
    assert "rest on other fields than the case has (1): Ext-001." in str(feasibility(draft, draft.draft).warnings)

    study = make_locked(coordinator, **plan)
    with_results(starter, "CML")
    replace(study, coordinator, "p3")
    rows = SessionAssistance.objects.select_related("case__session__reader", "case__identity__study_case__patient")
    seen = {
        (row.case.session.reader.label, row.case.identity.study_case.patient.code): row.payload["results"]
        for row in rows
    }  # fmt: skip
    assert len(seen) == 12
    assert {len(results) for results in seen.values()} == {1}
    assert {results[0]["diagnosis"] for results in seen.values()} == {"AML"}
    assert seen["P1", "Ext-001"][0]["sentences"][-1] == "1 of the 3 fields that this rests on are not shown here."
    first, later = AuditEvent.objects.filter(action="session.assist").order_by("pk")
    assert (later.data["as_in"], later.data["runs"]) == (first.target, first.data["runs"])


def test_a_replacement_is_checked_against_the_frozen_cases(coordinator: User) -> None:
    """Neither against a patient who came to the cohort later, nor without one who was withdrawn since."""
    study = make_locked(coordinator)
    added = Patient.objects.create(code="Ext-later", cohort=Cohort.objects.get(name="External"))
    Slide.objects.create(code="Ext-later-S", patient=added)
    exposure_record(User.objects.get(username="p3"), added, "result")
    withdrawn = Patient.objects.get(code="Ext-001")
    exposure_record(User.objects.get(username="p4"), withdrawn, "result")
    patient_withdraw(actor=coordinator, patient=withdrawn, reason="asked for it")
    with pytest.raises(ProtocolRefused, match=r"p4 has met 1 of these patients before: saw the AI result \(Ext-001\)"):
        replace(study, coordinator, "p4")
    replace(study, coordinator, "p3")
    assert {s.reader.label for s in sessions(study) if s.state == "planned"} == {"P1b", "P2"}


@pytest.mark.both_databases
def test_a_title_that_another_study_has_is_refused_in_words(coordinator: User) -> None:
    make_locked(coordinator, "Taken", readers=[reader("P1", "p4")])
    study = make_locked(coordinator, "Free")
    with pytest.raises(Conflict, match="There is a study with the title 'Taken' already") as refused:
        amend(study, coordinator, title="Taken")
    assert refused.value.field == "title"
    assert study.protocols.count() == 1
    amend(study, coordinator, title="Free too")
    study.refresh_from_db()
    assert study.title == "Free too"
