"""All maps of a slide: one job with progress and cancel, kept, and shown beside the fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inference.models import PipelineRun
from inference.services.runs import run_request
from inference.services.saliency import maps_exist, maps_load, saliency_slide_request
from inference.worker import saliency_slide
from leukoweb.core.jobs import ledger
from leukoweb.core.models import AuditEvent, Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_maps(run: PipelineRun) -> PipelineRun:
    forget_maps()
    return run


def forget_maps() -> None:
    for path in (settings.CACHE_ROOT / "saliency").rglob("*.*"):
        path.unlink()


def n_fields_with_maps(run: PipelineRun) -> int:
    models = set(run.pipeline.slots.values())
    return sum(all(maps_exist(i.content_sha256, m) for m in models) for i in run.slide.images.all())


def test_maps_are_there_after_a_run_and_the_sheet_shows_them_beside_the_field(run: PipelineRun, as_role: Any) -> None:
    text = as_role("pathologist").get(reverse("result_saliency_sheet", args=[run.public_id])).content.decode()
    assert text.count("saliency-stack") == 5 * 2, "models 2 and 3 on five fields"
    assert "Make all maps" not in text
    assert "No map yet" not in text


def test_one_job_makes_all_maps_and_the_overlays(without_maps: PipelineRun, as_role: Any, run_jobs: Any) -> None:
    run, client = without_maps, as_role("pathologist")
    sheet = reverse("result_saliency_sheet", args=[run.public_id])
    assert "5 of 5 fields lack a map" in client.get(sheet).content.decode()
    assert client.post(reverse("result_saliency_render", args=[run.public_id])).status_code == 302
    assert client.post(reverse("result_saliency_render", args=[run.public_id])).status_code == 302
    job = Job.objects.get(kind="inference.saliency_slide")
    assert AuditEvent.objects.filter(action="saliency.request").count() == 1
    cancel = reverse("job_cancel", args=[job.pk])
    assert cancel in client.get(sheet).content.decode()
    Job.objects.filter(pk=job.pk).update(status=Job.Status.RUNNING, cancel_requested=True)
    assert cancel not in client.get(sheet).content.decode(), "it is being cancelled already"
    Job.objects.filter(pk=job.pk).update(status=Job.Status.QUEUED, cancel_requested=False)
    assert run_jobs() == 1
    job.refresh_from_db()
    assert (job.status, job.done_units, job.total_units) == (Job.Status.DONE, 5, 5), job.error
    assert n_fields_with_maps(run) == 5
    assert len(list((settings.CACHE_ROOT / "saliency").rglob("*.png"))) >= 5 * 2
    image = run.slide.images.first()
    assert maps_load(image.content_sha256, run.pipeline.model_3).shape[0] == 5
    assert "No map yet" not in client.get(sheet).content.decode()


def test_somebody_with_hidden_patients_shares_the_job_that_another_person_asked_for(
    without_maps: PipelineRun, as_role: Any, make_slide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a person sees the own jobs only; the work that both ask for is one job all the same, and names nothing."""
    run, other = without_maps, make_slide(1).patient.pk
    render = reverse("result_saliency_render", args=[run.public_id])
    first, second = as_role("coordinator"), as_role("pathologist")
    assert first.post(render).status_code == 302
    hides = {second.user.pk: {other}}
    monkeypatch.setattr("reader_study.middleware.hidden_patients", lambda user: hides.get(user.pk, set()))
    answer = second.post(render, follow=True)
    assert (answer.status_code, "asked for already" in answer.content.decode()) == (200, True)
    job = Job.objects.get(kind="inference.saliency_slide")
    assert str(job.pk) not in answer.content.decode()
    assert second.get(reverse("job_progress", args=[job.pk])).status_code == 404
    assert AuditEvent.objects.filter(action="saliency.request").count() == 1
    image, slot = run.slide.images.first(), "model_2"
    name = run.pipeline.model_2.classes[0]
    one_map = reverse("result_saliency", args=[run.public_id, image.public_id, slot, name])
    asked = [client.get(one_map) for client in (first, second)]
    assert [answer.status_code for answer in asked] == [202, 202]
    assert asked[0].json() == asked[1].json()


def test_the_maps_are_those_that_the_run_kept(run: PipelineRun, run_jobs: Any) -> None:
    image = run.slide.images.first()
    before = maps_load(image.content_sha256, run.pipeline.model_2)
    forget_maps()
    saliency_slide_request(actor=None, run=run)
    run_jobs()
    after = maps_load(image.content_sha256, run.pipeline.model_2)
    assert before is not None
    assert after is not None
    assert abs(before - after).max() <= 1e-3  # kept as float16


def test_a_cancel_keeps_what_is_made_and_a_retry_makes_the_rest(
    without_maps: PipelineRun, technician: Any, run_jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = without_maps
    monkeypatch.setattr(saliency_slide, "BATCH", 2)
    real: Callable[..., None] = saliency_slide._compute
    calls: list[int] = []

    def cancel_in_the_first_batch(*args: Any) -> None:
        calls.append(len(args[2]))
        if len(calls) == 1:
            ledger.job_cancel(actor=technician, job=Job.objects.get(kind="inference.saliency_slide"))
        real(*args)

    monkeypatch.setattr(saliency_slide, "_compute", cancel_in_the_first_batch)
    job = saliency_slide_request(actor=technician, run=run)
    run_jobs()
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert n_fields_with_maps(run) == 2
    ledger.job_retry(actor=technician, job=job)
    run_jobs()
    job.refresh_from_db()
    assert (job.status, n_fields_with_maps(run)) == (Job.Status.DONE, 5)
    assert sum(calls) == 5 * len(set(run.pipeline.slots.values())), "nothing twice"


def test_a_withdrawn_patient_gets_no_maps(
    without_maps: PipelineRun, technician: Any, admin_user: Any, run_jobs: Any
) -> None:
    from cases.services.withdrawals import patient_withdraw

    job = saliency_slide_request(actor=technician, run=without_maps)
    patient_withdraw(actor=admin_user, patient=without_maps.slide.patient, reason="asked to")
    run_jobs()
    job.refresh_from_db()
    assert job.status in (Job.Status.FAILED, Job.Status.CANCELLED)
    assert not list((settings.CACHE_ROOT / "saliency").rglob("*.npy"))


def test_the_number_of_queries_does_not_grow_with_the_fields(
    run: PipelineRun, make_slide: Any, run_jobs: Any, technician: Any, as_role: Any
) -> None:
    large = run_request(actor=technician, slide=make_slide(12))
    run_jobs()
    client = as_role("pathologist")
    counts = []
    for one in (run, large, run, large):  # the first looks are recorded, the second ones are not
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(reverse("result_saliency_sheet", args=[one.public_id])).status_code == 200
        counts.append(len(queries))
    assert counts[2] == counts[3]
