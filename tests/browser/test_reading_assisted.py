"""The arm with AI as a crossover in the browser: two readers, each in both arms, a real run of the starter pipeline.

One begins blinded, the other with the AI; the server's clock is moved over the washout.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, Response, expect

from cases.models import Cohort, Patient, ReferenceDiagnosis, Slide
from cases.phantoms import draw_patient, encode_jpeg
from cases.services.images import image_add
from inference.models import PatientPrediction, PipelineRun, PipelineVersion
from inference.services.registry import starter_ensure
from inference.services.runs import cohort_run_request
from leukoweb.core.models import AuditEvent, User
from reader_study.models import Analysis, Reading, ReadingSession, SessionAssistance, SessionSeal, Study
from reader_study.protocol import protocol_sha256
from reader_study.report.methods import methods_text
from reader_study.selectors.assistance import assistance_shown
from reader_study.services.conduct import study_freeze, study_unblind
from reader_study.services.locking import study_lock
from reader_study.services.studies import study_create
from tests.browser.test_pages import assert_fits_a_phone, axe_problems
from tests.browser.test_reading import SET_THEME
from tests.browser.test_reading_study import MovedClock, clock, open_page  # noqa: F401
from tests.conftest import BACKEND
from tests.reader_study.factories import CLASSES, PASSWORD
from tests.reader_study.protocols import complete, reader
from tests.reader_study.studies import sign

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOWN = ("AML", "CLL", "NO_LEUKEMIA")
N_FIELDS = 2
BLIND, WITH_AI = "blinded", "ai_assisted"


def shot(page: Page, name: str) -> None:
    """Keep pictures for people to look at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        for theme in ("light", "dark"):
            page.evaluate(SET_THEME, [theme, ""])
            for width, height in ((1440, 900), (390, 844)):
                page.set_viewport_size({"width": width, "height": height})
                page.wait_for_timeout(500)
                page.screenshot(path=Path(folder) / f"{name}-{theme}-{width}.png", full_page=width < 500)
        page.set_viewport_size({"width": 1440, "height": 900})


@pytest.fixture
def cohort(transactional_db: None, run_jobs: Callable[[], int]) -> Cohort:
    """Drawn patients, each with a result of the starter pipeline that a job computed."""
    cohort = Cohort.objects.create(name="Crossover", purpose="external", synthetic=True)
    for n, diagnosis in enumerate(SHOWN):
        patient = Patient.objects.create(code=f"PHANTOM-X{n}", cohort=cohort)
        slide = Slide.objects.create(code=f"PHANTOM-X{n}-S", patient=patient, pixel_size_um=0.3)
        drawn = draw_patient(diagnosis, seed=70 + n, style="dp73", n_fields=N_FIELDS, width_px=400)
        for position, field in enumerate(drawn, start=1):
            image_add(actor=None, slide=slide, data=encode_jpeg(field), name=f"{position}.jpg")
        ReferenceDiagnosis.objects.create(patient=patient, diagnosis=diagnosis, source="Drawn as such (phantom)")
    Slide.objects.update(review="passed", reviewed_at=timezone.now())
    starter_ensure()
    cohort_run_request(actor=None, cohort=cohort)
    run_jobs()
    assert PatientPrediction.objects.count() == len(SHOWN)
    return cohort


@pytest.fixture
def study(cohort: Cohort, coordinator: User, make_user: Callable[..., User]) -> Study:
    starter = PipelineVersion.objects.get(is_active=True)
    for name in ("p1", "p2"):
        make_user("pathologist", name)
    document = complete(
        question="Does the result help?",
        cases={"cohort": cohort.name, "patients": "all", "training": []}, arms=[BLIND, WITH_AI],
        readers=[reader("P1", "p1", (BLIND, WITH_AI)), reader("P2", "p2", (WITH_AI, BLIND))],
        ai={"primary": {"name": starter.name, "version": starter.version}, "comparators": []},
        endpoints=[{"metric": "accuracy", "role": "primary", "comparison": "with_vs_without_ai"}],
    )  # fmt: skip
    made = study_create(actor=coordinator, title="With and without AI", document=document)
    study_lock(actor=coordinator, study=made, signature=sign(coordinator), sha256=protocol_sha256(made.draft))
    return made


def session(label: str, number: int) -> ReadingSession:
    return ReadingSession.objects.get(reader__label=label, number=number)


def read(page: Page, wanted: ReadingSession, say: Callable[[Page], str]) -> list[bytes]:
    """Consent, every field, an answer for each case, the seal. Returns every body that the desk sent."""
    bodies: list[bytes] = []

    def keep(response: Response) -> None:
        kind = response.headers.get("content-type", "")
        if "/read/" in response.url and response.status == 200 and ("json" in kind or "html" in kind):
            bodies.append(response.body())

    page.on("response", keep)
    page.goto(f"/read/{wanted.token}/")
    page.get_by_label(re.compile("I have read this")).check()
    page.get_by_role("button", name="Begin").click()
    for n in range(1, len(SHOWN) + 1):
        expect(page.locator("[data-title]")).to_have_text(f"Case {n} of {len(SHOWN)}")
        for field in range(1, N_FIELDS + 1):
            expect(page.locator(".strip-item.is-seen")).to_have_count(field)
            page.keyboard.press("f")
        page.keyboard.press(str(1 + CLASSES.index(say(page))))
        page.keyboard.press("Shift+Digit4")
        page.keyboard.press("Enter")
    page.get_by_label("Your full name").fill("R. Reader")
    page.get_by_label(re.compile("^Your password")).fill(PASSWORD)
    page.get_by_label(re.compile("These are my own diagnoses")).check()
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", keep)
    page.get_by_role("button", name="Sign and seal").click()
    expect(page.get_by_text("is signed and sealed")).to_be_visible()
    return bodies


def blind(page: Page) -> str:
    expect(page.locator("[data-ai]")).to_be_hidden()
    assert page.locator("[data-ai]").inner_text() == ""
    return "ALL"  # wrong on every case of the three


def with_ai(page: Page) -> str:
    """Says what the AI says, as it stands in the panel."""
    panel = page.locator("[data-ai]")
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("Synthetic demonstration model")
    title = panel.locator(".desk-ai-title").inner_text()
    return page.locator("[data-diagnosis]", has_text=title).get_attribute("data-diagnosis") or ""


@pytest.mark.slow
def test_both_arms_read_by_two_readers_and_told_apart(
    study: Study, open_page: Callable[[Any], Page], clock: MovedClock, coordinator: User, run_jobs: Callable[[], int],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    starter = PipelineVersion.objects.get(is_active=True)
    said = dict(PatientPrediction.objects.values_list("patient__code", "diagnosis_5"))
    frozen = {row.pk: row.payload for row in SessionAssistance.objects.all()}
    assert {row.case.session.arm for row in SessionAssistance.objects.all()} == {WITH_AI}
    assert len(frozen) == 2 * len(SHOWN)
    for row in PatientPrediction.objects.all():  # a later, other result changes nothing of what was laid out
        run = PipelineRun.objects.create(pipeline=starter, slide=row.slide)
        PatientPrediction.objects.create(
            run=run, patient=row.patient, slide=row.slide, diagnosis="CML", diagnosis_3="CHRONIC", diagnosis_5="CML"
        )

    p1, p2 = (open_page(User.objects.get(username=name)) for name in ("p1", "p2"))
    secrets = [starter.name.encode(), b'"pipeline"', b'"synthetic"', b'"sentences"', b'"deciding"']
    bodies = read(p1, session("P1", 1), blind)
    assert len(bodies) > 8
    assert not [word for word in secrets if any(word in body for body in bodies)]

    p2.goto(f"/read/{session('P2', 1).token}/")
    expect(p2.get_by_text("Beside each case stands what the AI says")).to_be_visible()
    bodies = read(p2, session("P2", 1), with_ai)
    assert all(any(word in body for body in bodies) for word in secrets)
    readings = Reading.objects.filter(session=session("P2", 1)).select_related("study_case__patient")
    assert {r.study_case.patient.code: r.diagnosis for r in readings} == said
    assert {row.pk: row.payload for row in SessionAssistance.objects.all()} == frozen

    for label in ("P1", "P2"):  # the washout holds between the arms, whichever came first
        then = session(label, 2)
        assert then.opens_at is not None
        clock.move_to(then.opens_at - timedelta(minutes=1))
        page = open_page(User.objects.get(username=label.lower()))  # the sign-in of six weeks ago is over
        page.goto(f"/read/{then.token}/")
        expect(page.locator(".reading-date")).to_contain_text("This session opens on")
        assert page.request.get(f"/read/{then.token}/state/").status == 404
    clock.move_to(max(session(label, 2).opens_at for label in ("P1", "P2")) + timedelta(minutes=1))
    p1, p2 = (open_page(User.objects.get(username=name)) for name in ("p1", "p2"))
    bodies = read(p2, session("P2", 2), blind)
    assert not [word for word in secrets if any(word in body for body in bodies)]
    read(p1, session("P1", 2), with_ai)
    signed = dict(SessionSeal.objects.values_list("session__arm", "meaning"))
    assert "without knowledge of any other result" in signed[BLIND]
    assert "with the AI's result beside each case" in signed[WITH_AI]
    told_apart(study, coordinator, run_jobs, monkeypatch)


def told_apart(study: Study, coordinator: User, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The analysis compares each reader with and without the AI, and names what was shown."""
    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)
    study_freeze(actor=coordinator, study=study, signature=sign(coordinator))
    study_unblind(actor=coordinator, study=study, reason="everybody has read", signature=sign(coordinator))
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    client.post(f"/studies/{study.public_id}/analyses/")
    run_jobs()
    analysis = Analysis.objects.get()
    rows = {row["name"]: row for row in analysis.inputs["evaluators"]}
    assert {name: row["primary"] for name, row in rows.items() if row["role"] == "reader"} == {
        "P1-1": True, "P1-2": False, "P2-1": False, "P2-2": True,
    }  # fmt: skip
    events = {e.data["reader"]: e.data for e in AuditEvent.objects.filter(action="session.assist")}
    for label, number in (("P1", 2), ("P2", 1)):
        shown = rows[f"{label}-{number}"]["assistance"]
        assert shown["sha256"] == events[label]["sha256"]
        assert assistance_shown([session(label, number)])[session(label, number).pk] == shown
        assert len(events[label]["runs"]) == len(SHOWN)
    arms = analysis.result.result["levels"]["five"]["arms"]
    assert [(pair["first"], pair["second"]) for pair in arms["pairs"]] == [("P1-2", "P1-1"), ("P2-1", "P2-2")]
    assert arms["overall"] is not None
    for pair in arms["pairs"]:
        difference = pair["metrics"]["accuracy"]["difference"]
        assert difference["low"] < difference["estimate"] <= difference["high"]
    methods = str(methods_text(analysis.inputs, analysis.result.result))
    assert "1 of 2 readers who read both ways began with the AI" in methods


def test_the_panel_is_accessible_small_and_leads_to_the_fields(
    study: Study, open_page: Callable[[Any], Page]  # noqa: F811
) -> None:
    page = open_page(User.objects.get(username="p2"))
    page.goto(f"/read/{session('P2', 1).token}/")
    page.get_by_label(re.compile("I have read this")).check()
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("[data-zoom]")).to_have_text(re.compile(r"\d+ %"))
    while not page.locator(".desk-ai-field").count():  # a case that the AI calls leukemia names its fields
        page.get_by_role("button", name="Next case").click()
        page.wait_for_timeout(500)
    button = page.locator(".desk-ai-field").last
    n = button.inner_text()
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-field-position]")).to_have_text(f"Field {n} of {N_FIELDS}")
    page.emulate_media(reduced_motion="reduce")
    assert axe_problems(page) == []
    for theme in ("dark", "light"):
        page.evaluate(SET_THEME, [theme, ""])
        assert axe_problems(page, runOnly=["color-contrast"]) == [], theme
    shot(page, "assisted")
    assert_fits_a_phone(page)
