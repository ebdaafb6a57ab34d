"""The demo study: drawn, locked by the program, predicted, ready to read; and making it twice makes it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cases.models import Exposure, HpfImage, Patient
from inference.models import PipelineRun
from leukoweb.core.jobs.registry import kind
from leukoweb.core.models import AuditEvent, Job
from leukoweb.demo import cohort as demo_cohort
from leukoweb.demo import study as demo
from reader_study.models import ReadingSession, Study
from reader_study.protocol import validate

pytestmark = pytest.mark.django_db


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four patients with fields of 160 pixels; the rest is as it is."""
    everyone = demo.plans()[:4]
    monkeypatch.setattr(demo, "plans", lambda: everyone)
    draw = demo_cohort.draw_plan
    monkeypatch.setattr(demo_cohort, "draw_plan", lambda plan: draw(plan, width_px=160))


def test_it_is_locked_and_ready_to_read(
    small: None, make_user: Callable[..., Any], run_jobs: Callable[[], int]
) -> None:
    make_user("coordinator", "coordinator")
    make_user("pathologist", "pathologist")
    demo.study_queue()
    demo.study_queue()
    assert Job.objects.filter(kind="demo.study").count() == 1
    run_jobs()
    job = Job.objects.get(kind="demo.study")
    assert (job.status, job.error) == ("done", "")
    study = Study.objects.get()
    protocol = study.protocols.get()
    assert (study.state, study.title, protocol.signed_by) == ("locked", demo.TITLE, None)
    assert "no person signed" in protocol.meaning
    assert [u.username for u in study.coordinators.all()] == ["coordinator"]
    assert study.cohort.synthetic
    assert all(patient.code.startswith("PHANTOM-S") for patient in Patient.objects.all())
    assert study.cases.filter(training=True).count() == 1
    sessions = ReadingSession.objects.order_by("number")
    assert [(s.reader.label, s.number, s.state, s.cases.count()) for s in sessions] == [
        ("P1", 1, "planned", 4), ("P1", 2, "planned", 4),
    ]  # fmt: skip
    assert validate(protocol.document) == []
    assert not Exposure.objects.exists()
    before = HpfImage.objects.count()
    demo.study_queue()
    assert not Job.objects.filter(kind="demo.study").exclude(pk=job.pk).exists()
    assert HpfImage.objects.count() == before


def test_a_killed_worker_goes_on_where_it_was(
    small: None, make_user: Callable[..., Any], run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("coordinator", "coordinator")
    make_user("pathologist", "pathologist")
    lock = demo.study_lock_by_system
    monkeypatch.setattr(demo, "study_lock_by_system", lambda study: 1 / 0)
    demo.study_queue()
    run_jobs()
    assert Study.objects.get().state == "draft"
    images = set(HpfImage.objects.values_list("pk", flat=True))
    monkeypatch.setattr(demo, "study_lock_by_system", lock)
    Job.objects.filter(kind="demo.study").update(not_before=None)
    run_jobs()
    assert Study.objects.get().state == "locked"
    assert set(HpfImage.objects.values_list("pk", flat=True)) == images


def test_the_ai_predicts_in_the_background(
    small: None, make_user: Callable[..., Any], run_jobs: Callable[[], int]
) -> None:
    from inference.services.registry import starter_ensure

    starter_ensure()
    make_user("coordinator", "coordinator")
    make_user("pathologist", "pathologist")
    demo.study_queue()
    job = Job.objects.get(kind="demo.study")
    from leukoweb.core.jobs.execute import execute

    execute(job.pk)
    assert PipelineRun.objects.count() == 4
    assert Study.objects.get().protocols.get().document["ai"]["primary"]["name"]


def test_without_people_the_job_says_so(small: None, run_jobs: Callable[[], int]) -> None:
    demo.study_queue()
    run_jobs()
    assert Job.objects.get(kind="demo.study").error_code == "E_CONFLICT"
    assert not AuditEvent.objects.filter(action=demo.MADE).exists()


def test_its_patients_are_nobody_elses() -> None:
    codes = {plan.code for plan in demo.plans()}
    seeds = {plan.seed for plan in demo.plans()}
    assert len(codes) == 13
    assert not codes & {plan.code for plan in demo_cohort.plans()}
    assert not seeds & {plan.seed for plan in demo_cohort.plans()}
    assert {plan.diagnosis for plan in demo.plans()} == {"ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"}
    assert kind("demo.study").queue == "ops"
