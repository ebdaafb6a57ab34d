"""The run panels, the registry's pages and the API."""

from __future__ import annotations

import io
import json
import re
import threading
import uuid
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cases.models import Cohort, HpfImage, Slide
from cases.services.images import image_add, images_move
from cases.services.removals import image_remove
from inference.models import PatientPrediction, PipelineRun, PipelineVersion, SlideContents
from inference.pipeline.rules import RULE_SETS
from inference.selectors.cohort_results import newest_run_ids
from inference.selectors.comparisons import cohorts_to_run_again
from inference.selectors.images import images_sha256_by_slide
from inference.selectors.registry import pipeline_active
from inference.selectors.runs import RunState, cohort_slide_states, cohort_states, newest_results
from inference.services.archives import pipeline_export
from inference.services.contents import contents_remember
from inference.services.registry import pipeline_activate
from inference.services.runs import run_request
from leukoweb.core.models import AuditEvent, Job
from tests.conftest import BACKEND

pytestmark = pytest.mark.django_db


def test_running_from_the_slide_page(pipeline: Any, make_slide: Any, as_role: Any, run_jobs: Any) -> None:
    slide, client = make_slide(3), as_role("technician")
    panel = client.post(reverse("run_create", args=[slide.pk]), headers={"HX-Request": "true"})
    assert panel.status_code == 200
    assert "Waiting" in panel.content.decode()
    client.post(reverse("run_create", args=[slide.pk]), headers={"HX-Request": "true"})
    assert PipelineRun.objects.count() == 1, "an equal run that waits is not made twice"
    run_jobs()
    panel = client.get(reverse("slide_runs", args=[slide.pk])).content.decode()
    assert "status-done" in panel
    assert "/results/" not in panel, "a technician has no way to the result"
    assert "/results/" in as_role("pathologist").get(reverse("slide_runs", args=[slide.pk])).content.decode()


def test_without_an_active_pipeline_the_panel_says_what_to_do(make_slide: Any, as_role: Any) -> None:
    slide, client = make_slide(3), as_role("technician")
    assert "No pipeline is registered" in client.get(reverse("slide_runs", args=[slide.pk])).content.decode()
    refused = client.post(reverse("run_create", args=[slide.pk]), headers={"HX-Request": "true"})
    assert "No pipeline is active" in refused.content.decode()
    assert client.post(reverse("run_create", args=[slide.pk])).status_code == 409


@pytest.mark.both_databases
def test_the_cohort_panel_counts_and_tells_what_needs_a_rerun(
    pipeline: Any, other_pipeline: Any, make_slide: Any, as_role: Any, run_jobs: Any, admin_user: Any, field_png: Any
) -> None:
    slides = [make_slide(2) for _ in range(3)]
    cohort, client = slides[0].patient.cohort, as_role("technician")
    address = reverse("cohort_runs", args=[cohort.pk])
    assert "0 of 3" in client.get(address).content.decode()
    client.post(reverse("cohort_run_create", args=[cohort.pk]), {"mode": "cascade"}, headers={"HX-Request": "true"})
    assert "wait or run" in client.get(address).content.decode()
    assert run_jobs() == 3
    with CaptureQueriesContext(connection) as queries:
        text = client.get(address).content.decode()
    assert "3 of 3" in text
    assert "Run all 3 again?" in text, "asked first, with the number"
    assert not any("cases_hpfimage" in query["sql"] for query in queries), "no image is read where none changed"

    image_add(actor=None, slide=slides[1], data=field_png(99), name="late.png")
    text = client.get(address).content.decode()
    assert "2 of 3" in text
    assert "1 needs a rerun" in text
    assert [(row.n_current, row.n_slides) for row in cohorts_to_run_again(pipeline)] == [(2, 3)], "as promotions tell"

    pipeline_activate(actor=admin_user, pipeline=other_pipeline)
    text = client.get(address).content.decode()
    assert "0 of 3" in text
    assert "3 need a rerun" in text
    assert [(row.n_current, row.n_slides) for row in cohorts_to_run_again(other_pipeline)] == [(0, 3)]
    assert PipelineRun.objects.filter(pipeline=pipeline, prediction__isnull=False).count() == 3, "old results stay"
    client.post(reverse("cohort_run_create", args=[cohort.pk]), headers={"HX-Request": "true"})
    assert run_jobs() == 3
    assert "3 of 3" in client.get(address).content.decode()


@pytest.mark.both_databases
def test_the_newest_result_is_the_one_that_came_last(pipeline: Any, make_slide: Any) -> None:
    """The run that was asked for first was tried again after the second had its result."""
    slide = make_slide(1)
    first, second = (PipelineRun.objects.create(pipeline=pipeline, slide=slide) for _ in range(2))
    for run, images in ((second, "0" * 64), (first, images_sha256_by_slide([slide.pk])[slide.pk])):
        PatientPrediction.objects.create(run=run, patient=slide.patient, slide=slide, images_sha256=images)
    cohort = slide.patient.cohort
    assert {*cohort_states(cohort, pipeline).values()} == {RunState.CURRENT}
    assert newest_run_ids(cohort, pipeline) == [(first.pk, slide.patient_id)]
    assert newest_results(slide_code=slide.code) == newest_results(cohort_name=cohort.name) == [first]


@pytest.mark.both_databases
def test_what_a_slide_has_is_forgotten_with_any_change_of_its_images(
    pipeline: Any, make_slide: Any, technician: Any, field_png: Any
) -> None:
    slides = [make_slide(3) for _ in range(4)]
    kept, grown, giving, taking = (slide.pk for slide in slides)
    cohort, hashes = slides[0].patient.cohort, images_sha256_by_slide(slide.pk for slide in slides)
    for slide in slides:
        run = PipelineRun.objects.create(pipeline=pipeline, slide=slide)
        PatientPrediction.objects.create(run=run, patient=slide.patient, slide=slide, images_sha256=hashes[slide.pk])
    assert {*cohort_states(cohort, pipeline).values()} == {RunState.CURRENT}, "worked out where nothing is remembered"

    def remembered() -> dict[int, str]:
        return dict(SlideContents.objects.values_list("slide", "images_sha256"))

    def remember() -> None:
        for slide in slides:
            contents_remember(slide.pk)
        assert remembered() == images_sha256_by_slide(slide.pk for slide in slides)

    def check(*changed: int, old: set[int]) -> None:
        assert set(remembered()) == {kept, grown, giving, taking} - {*changed}
        for _ in range(2):  # worked out for those, then remembered
            states = cohort_states(cohort, pipeline)
            assert {slide for slide, state in states.items() if state is RunState.OLD_IMAGES} == old
            remember()

    remember()
    late = image_add(actor=None, slide=slides[1], data=field_png(99), name="late.png").image
    check(grown, old={grown})
    HpfImage.objects.filter(pk=late.pk).update(notes=["grey became RGB"])
    check(old={grown})
    image_remove(actor=technician, image=late, reason="Wrong slide")
    check(grown, old=set())
    moved = HpfImage.objects.filter(slide=giving, position=2)
    images_move(actor=technician, images=list(moved), slide=slides[3], reason="Wrong slide")
    check(giving, taking, old={giving, taking})
    HpfImage.objects.filter(slide=kept, position=1).update(position=9)
    check(kept, old={kept, giving, taking})


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_what_a_slide_has_is_never_remembered_without_an_image_that_is_just_coming(make_slide: Any) -> None:
    """Whoever remembers waits for the change to end, or the change waits and forgets."""
    slide = make_slide(1)
    other = slide.images.get()
    other.pk, other.position, other.public_id, other.content_sha256 = None, 2, uuid.uuid4(), "f" * 64

    def remember() -> None:
        contents_remember(slide.pk)
        connections.close_all()

    thread = threading.Thread(target=remember)
    with transaction.atomic():
        other.save(force_insert=True)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it waits"
    thread.join(30)
    found = SlideContents.objects.get(pk=slide.pk)
    assert found.images_sha256 == images_sha256_by_slide([slide.pk])[slide.pk]


@pytest.mark.both_databases
def test_what_waits_in_a_cohort_is_cancelled_at_once(
    pipeline: Any, make_slide: Any, as_role: Any, technician: Any, pathologist: Any
) -> None:
    runs = [run_request(actor=technician, slide=make_slide(1)) for _ in range(3)]
    mine = run_request(actor=pathologist, slide=make_slide(1))
    elsewhere = Cohort.objects.create(name="Elsewhere", purpose="external")
    kept = run_request(actor=technician, slide=make_slide(1, cohort=elsewhere))
    Job.objects.filter(pk=runs[0].job_id).update(status="running")
    cohort = [runs[0].slide.patient.cohort_id]
    address, panel = reverse("cohort_run_cancel", args=cohort), reverse("cohort_runs", args=cohort)

    def statuses() -> list[str]:
        jobs = Job.objects.in_bulk([run.job_id for run in (*runs, mine, kept)])
        return [jobs[run.job_id].status for run in (*runs, mine, kept)]

    client = Client()
    client.force_login(pathologist, backend=BACKEND)
    text = client.post(address, headers={"HX-Request": "true"}).content.decode()
    assert "1 waiting run that you asked for was cancelled" in text
    assert "Cancel what waits" not in text, "what others asked for is not theirs to cancel"
    assert "Cancel what waits" in as_role("coordinator").get(panel).content.decode()
    assert statuses() == ["running", "queued", "queued", "cancelled", "queued"]
    text = as_role("coordinator").post(address, headers={"HX-Request": "true"}).content.decode()
    assert "2 waiting runs were cancelled" in text
    assert "3</span> cancelled" in text
    assert "Cancel what waits" not in text, "the one that is left runs"
    assert "Run on" not in text
    assert statuses() == ["running", "cancelled", "cancelled", "cancelled", "queued"]
    events = AuditEvent.objects.filter(action="run.cancel_cohort").order_by("pk")
    assert [event.data["n_cancelled"] for event in events] == [1, 2]


def _asked(client: Any, cohort: Any, **query: str) -> tuple[str, set[str]]:
    """The cohort's page and the slides in its table."""
    text = client.get(reverse("cohort_detail", args=[cohort.pk]), query).content.decode()
    return text, set(re.findall(r">(S\d{3})</a>", text))


def _end(run: PipelineRun, status: str) -> None:
    Job.objects.filter(pk=run.job_id).update(status=status, error="The disk is full.")


def test_the_cohort_page_says_which_slides_failed_need_a_rerun_or_a_review(
    run: PipelineRun, make_slide: Any, as_role: Any, technician: Any, field_png: Any, other_pipeline: Any,
    admin_user: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    failed, cancelled, waiting, fresh = (make_slide(1) for _ in range(4))
    cohort, client = fresh.patient.cohort, as_role("coordinator")
    for slide, status in ((failed, "failed"), (cancelled, "cancelled"), (waiting, "queued")):
        _end(run_request(actor=technician, slide=slide), status)
    Slide.objects.filter(pk=failed.pk).update(review="passed", reviewed_at=timezone.now())
    everything = {"S001", "S002", "S003", "S004", "S005"}
    text, slides = _asked(client, cohort)
    assert slides == everything
    assert "status-failed" in text
    for choice, codes in {
        "done": {"S001"}, "failed": {"S002"}, "cancelled": {"S003"}, "active": {"S004"}, "none": {"S005"},
        "rerun": set(),
    }.items():  # fmt: skip
        assert _asked(client, cohort, run=choice)[1] == codes, choice
        assert set(cohort_states_as(cohort, choice)) == codes, choice
    assert _asked(client, cohort, review="passed")[1] == {"S002"}
    assert _asked(client, cohort, review="waiting")[1] == everything - {"S002"}
    assert _asked(client, cohort, review="waiting", run="failed")[1] == set()
    assert "?run=failed" in client.get(reverse("cohort_runs", args=[cohort.pk])).content.decode()
    assert "The disk is full." in client.get(reverse("slide_runs", args=[failed.pk])).content.decode()

    image_add(actor=None, slide=run.slide, data=field_png(99), name="late.png")
    text, slides = _asked(client, cohort, run="rerun")
    assert slides == {"S001"}
    assert "images changed" in text
    pipeline_activate(actor=admin_user, pipeline=other_pipeline)
    text, slides = _asked(client, cohort, run="rerun")
    assert slides == {"S001"}
    assert "other pipeline" in text

    hidden = {failed.patient_id}
    monkeypatch.setattr("reader_study.middleware.hidden_patients", lambda user: hidden)
    text, slides = _asked(as_role("pathologist"), cohort, run="rerun", review="passed")
    assert slides == everything - {"S002"}, (
        "filters of a blinded person do nothing, and the hidden patient is not there"
    )
    assert "status-" not in text.partition("<table")[2]
    panel = as_role("pathologist").get(reverse("cohort_runs", args=[cohort.pk])).content.decode()
    assert "?run=" not in panel, "the panel leads to no list that would not be narrowed"


def cohort_states_as(cohort: Any, choice: str) -> list[str]:
    """The codes that the whole table of states gives for a choice of the filter, which reads less."""
    wanted = {"done": "CURRENT", "active": "RUNNING", "failed": "FAILED", "cancelled": "CANCELLED", "none": "NONE"}
    states = cohort_slide_states(cohort, pipeline_active())
    return [slide.code for slide, state in states.items() if state.name == wanted.get(choice)]


def test_the_cohort_page_takes_as_many_queries_for_many_slides(
    pipeline: Any, make_slide: Any, as_role: Any, technician: Any
) -> None:
    client, cohort = as_role("admin"), make_slide(1).patient.cohort
    _asked(client, cohort)
    with CaptureQueriesContext(connection) as few:
        _asked(client, cohort, run="none")
    for _ in range(4):
        make_slide(1)
    with CaptureQueriesContext(connection) as many:
        assert len(_asked(client, cohort, run="none")[1]) == 5
    assert len(many) == len(few)


def test_import_in_the_browser(pipeline_folder: Any, as_role: Any, db: None) -> None:
    from inference.services.registry import pipeline_import

    pipeline = pipeline_import(actor=None, folder=pipeline_folder)
    out = io.BytesIO()
    pipeline_export(actor=None, pipeline=pipeline, out=out)
    client = as_role("admin")
    out.seek(0)
    out.name = "p.zip"
    response = client.post(reverse("registry_import"), {"file": out, "activate": "on"})
    assert response.status_code == 302
    assert PipelineVersion.objects.get().is_active
    bad = io.BytesIO(b"not a zip")
    bad.name = "x.zip"
    response = client.post(reverse("registry_import"), {"file": bad})
    assert response.status_code == 400
    assert "not a readable zip" in response.content.decode()


def test_a_new_pipeline_in_the_browser(pipeline: PipelineVersion, as_role: Any) -> None:
    client = as_role("admin")
    assert client.get(reverse("pipeline_create")).content.decode().count("selected") >= 1 + len(pipeline.slots)
    rules = RULE_SETS["paper-fig2"].as_dict() | {"name": "two-fields"}
    rules["gate"]["at_least"] = 2
    data = {slot: model.pk for slot, model in pipeline.slots.items()} | {
        "name": "stricter", "version": "1", "rules": "paper-fig2", "own_rules": json.dumps(rules)}  # fmt: skip
    assert client.post(reverse("pipeline_create"), data).status_code == 302
    made = PipelineVersion.objects.get(name="stricter")
    assert made.rule_set["gate"]["at_least"] == 2
    assert not made.is_active
    for wrong in ("{", '{"name": "x"}', '{"name": ' + "9" * 5000 + "}", "[" * 100_000):
        response = client.post(reverse("pipeline_create"), data | {"version": "2", "own_rules": wrong})
        assert response.status_code == 400
    again = client.post(reverse("pipeline_create"), data | {"own_rules": ""})
    assert "registered already" in again.content.decode()


def test_the_api_queues_and_reports(pipeline: Any, make_slide: Any, as_role: Any, run_jobs: Any) -> None:
    slide, client = make_slide(3), as_role("pathologist")
    address = reverse("api_run_create", args=[slide.pk])
    body = {"pipeline": f"{pipeline.name}:{pipeline.version}", "mode": "full"}
    made = client.post(address, body, content_type="application/json")
    assert made.status_code == 202, made.content
    assert made.json()["status"] == "queued"
    detail = reverse("api_run_detail", args=[made.json()["id"]])
    assert client.get(reverse("api_result_detail", args=[made.json()["id"]])).status_code == 404
    run_jobs()
    assert client.get(detail).json()["status"] == "done"
    for wrong in ({"mode": "half"}, {"pipeline": "no:1"}, {"surprise": 1}):
        refused = client.post(address, wrong, content_type="application/json")
        assert refused.status_code in (400, 404)
        assert set(refused.json()["error"]) == {"code", "message", "field", "hint"}
