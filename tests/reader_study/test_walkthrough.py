"""After the unblinding: the walk through the cases, and the panel that reads again."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from cases.models import Exposure, Slide
from inference.models import PatientPrediction, PipelineRun, PipelineVersion
from leukoweb.core.models import Job, User
from reader_study.models import ImportedEvaluator, ImportedPrediction, Reading, Study, StudyCase
from reader_study.selectors.ai_results import label_of, predictions_of
from reader_study.selectors.grid import study_grid
from tests.conftest import BACKEND
from tests.reader_study.pages import url
from tests.reader_study.studies import make_locked, mark, sessions, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


@pytest.fixture
def client(coordinator: User) -> Client:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    return client


def unblinded(coordinator: User) -> Study:
    study = make_locked(coordinator)
    answers = {"P1": "AML", "P2": "CLL"}
    for session in sessions(study):
        for position, case in enumerate(StudyCase.objects.filter(study=study), start=1):
            Reading.objects.create(
                session=session, study_case=case, position=position, diagnosis=answers[session.reader.label],
                n_images=3, n_viewed=3, active_ms=5000,
            )  # fmt: skip
        mark(session, "sealed")
    Study.objects.filter(pk=study.pk).update(state="unblinded")
    study.refresh_from_db()
    return study


def test_the_walk_names_disputes_and_records_who_looked(
    client: Client, coordinator: User, django_assert_max_num_queries: Any
) -> None:
    study = unblinded(coordinator)
    with django_assert_max_num_queries(32):  # the first look is on record for each patient
        page = client.get(url("study_walk", study)).content.decode()
    assert page.count("differs") >= 6
    assert Exposure.objects.filter(user=coordinator, kind="reference").count() == 6
    with django_assert_max_num_queries(20):
        client.get(url("study_walk", study))
    for odd in ("²", "9" * 5000, "x", "0"):
        assert client.get(url("study_walk", study), {"page": odd}).status_code == 200
    code = study.cases.filter(patient__code="Ext-001").get().code  # AML
    page = client.get(url("study_walk_case", study, code)).content.decode()
    assert "Patient Ext-001" in page
    assert page.count("image_thumb") == 0
    assert page.count("<img") >= 3


def test_previous_and_next_stay_in_the_list_that_was_chosen(client: Client, coordinator: User) -> None:
    study = unblinded(coordinator)
    codes = list(study.cases.filter(training=False).order_by("code").values_list("code", flat=True))
    page = client.get(url("study_walk_case", study, codes[1]), {"only": "all"}).content.decode()
    for code, way in ((codes[0], "prev"), (codes[2], "next")):
        assert f'rel="{way}" href="{url("study_walk_case", study, code)}?only=all"' in page
    assert 'rel="next"' not in client.get(url("study_walk_case", study, codes[1]), {"only": "changed"}).content.decode()


def test_imported_answers_of_an_ai_are_votes_too(client: Client, coordinator: User) -> None:
    study = unblinded(coordinator)
    case = study.cases.get(patient__code="Ext-001")  # AML
    evaluator = ImportedEvaluator.objects.create(study=study, name="Elsewhere", version="2", source="a file")
    for level, label in (("five", "ALL"), ("three", "ACUTE")):
        ImportedPrediction.objects.create(evaluator=evaluator, study_case=case, level=level, diagnosis=label)
    page = client.get(url("study_walk_case", study, case.code)).content.decode()
    assert "AI Elsewhere 2" in page
    assert 'data-class="ACUTE"' not in page
    assert case.code in client.get(url("study_walk", study), {"only": "ai"}).content.decode()


def test_of_several_slides_the_one_of_the_case_counts_everywhere(client: Client, coordinator: User) -> None:
    """The walk-through shows the answer that the analysis takes, also where another slide was diagnosed later."""
    study = unblinded(coordinator)
    case = study.cases.get(patient__code="Ext-001")
    pipeline = PipelineVersion.objects.get(name="starter")
    contents = [image["content_sha256"] for image in case.manifest]
    other = Slide.objects.create(code="Ext-001-later", patient=case.patient)
    own = case.patient.slides.get(code="Ext-001-S")
    for slide, images, label in ((own, contents, "AML"), (other, ["0" * 64], "CLL")):
        job = Job.objects.create(kind="inference.run", title="t", queue="infer", status="done")
        run = PipelineRun.objects.create(pipeline=pipeline, slide=slide, job=job)
        PatientPrediction.objects.create(
            run=run, patient=case.patient, slide=slide, diagnosis=label, diagnosis_5=label, decided=True,
            images=[{"content_sha256": content} for content in images],
        )  # fmt: skip
    page = client.get(url("study_walk_case", study, case.code)).content.decode()
    row = page.partition(f"AI {pipeline.name} {pipeline.version}")[2].partition("</tr>")[0]
    assert "AML" in row
    assert "CLL" not in row
    found = predictions_of(pipeline.name, pipeline.version, [case])
    assert found[case.pk].slide.code == "Ext-001-S"
    labels = [label_of(found[case.pk], level, {"classes": {"map": level}}) for level in ("five", "three", "two")]
    assert labels == ["AML", "ACUTE", "LEUKEMIA"]


def test_a_panel_reads_again_and_the_originals_stay(client: Client, coordinator: User) -> None:
    study = unblinded(coordinator)
    before = list(Reading.objects.order_by("pk").values())
    code = study.cases.first().code
    data = {"members": "A, B", "diagnosis": "ALL", "comment": "clear in field 2"}
    assert client.post(url("study_walk_case", study, code), data).status_code == 302
    reread = Reading.objects.get(reread=True)
    assert (reread.diagnosis, reread.session.reader.label) == ("ALL", "Panel")
    assert list(Reading.objects.filter(reread=False).order_by("pk").values()) == before
    assert b"has read case" in client.post(url("study_walk_case", study, code), data | {"diagnosis": "AML"}).content
    _, rows = study_grid(study)
    assert {row.session.reader.label for row in rows} == {"P1", "P2"}
