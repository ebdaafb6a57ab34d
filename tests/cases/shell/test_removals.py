"""Removing single fields, and the sweep that runs once a day."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from cases import services
from cases.models import Cohort, Exclusion, HpfImage, ImageOriginalName, ImageQuality, Patient, Slide, TextHint
from cases.services.sweeping import media_sweep
from leukoweb.core.exceptions import Conflict, DomainError, StorageDown
from leukoweb.core.jobs.bell import reap_and_ring
from leukoweb.core.models import AuditEvent, Job
from leukoweb.core.storage import BlobStore, blobs
from tests.cases.datasets.rows import quality_make

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_a_field_goes_with_its_name_and_pixels_and_leaves_a_record(technician: Any, slide: Slide, add: Any) -> None:
    image, other = add(slide, 1, "DOE.png"), add(slide, 2)
    services.slide_review(actor=technician, slide=slide, no_identity=True, complete=True, in_order=True)
    content, received, number = image.content_sha256, image.received_sha256, image.pk
    assert services.image_remove(actor=technician, image=image, reason=" A label ")
    assert list(slide.images.all()) == [other]
    assert not ImageOriginalName.objects.filter(name="DOE.png").exists()
    assert not blobs().exists(content)
    event = AuditEvent.objects.get(action="image.remove")
    assert event.data == {
        "image": number, "position": 1, "content_sha256": content, "received_sha256": received,
    }  # fmt: skip
    assert event.reason == "A label"
    assert "DOE" not in str(event.data)
    slide.refresh_from_db()
    assert slide.review == Slide.Review.WAITING
    assert add(slide, 1).position == 3, "it can be uploaded again"


def test_pixels_that_another_slide_has_stay(technician: Any, slide: Slide, other_slide: Slide, add: Any) -> None:
    image, twin = add(slide, 1), add(other_slide, 1)
    assert not services.image_remove(actor=technician, image=image, reason="Wrong patient")
    assert blobs().exists(twin.content_sha256)


def test_a_reason_is_needed(technician: Any, slide: Slide, add: Any) -> None:
    image = add(slide, 1)
    with pytest.raises(DomainError) as caught:
        services.image_remove(actor=technician, image=image, reason="  ")
    assert caught.value.code == "E_REASON"
    assert slide.images.exists()


def hold_by_exclusion(image: HpfImage) -> str:
    Exclusion.objects.create(image=image, excluded=True, reason="blur")
    return "a curation decision"


def hold_by_result(image: HpfImage) -> str:
    from inference.models import PatientPrediction, PipelineRun, PipelineVersion

    pipeline = PipelineVersion.objects.create(name="p", version="1", rule_set={})
    run = PipelineRun.objects.create(slide=image.slide, pipeline=pipeline)
    PatientPrediction.objects.create(
        run=run, patient=image.slide.patient, slide=image.slide,
        images=[{"image": str(image.public_id), "content_sha256": image.content_sha256}],
    )  # fmt: skip
    return "a result of the AI pipeline"


def hold_by_study(image: HpfImage) -> str:
    from reader_study.models import Study, StudyCase

    StudyCase.objects.create(
        study=Study.objects.create(title="S"), patient=image.slide.patient, code="C1", manifest_sha256="0" * 64,
        manifest=[{"image": image.pk, "content_sha256": image.content_sha256}],
    )  # fmt: skip
    return "a case of a study"


@pytest.mark.parametrize("hold", [hold_by_exclusion, hold_by_result, hold_by_study])
def test_what_something_rests_on_stays(
    technician: Any, slide: Slide, add: Any, hold: Callable[[HpfImage], str]
) -> None:
    image, free = add(slide, 1), add(slide, 2)
    words = hold(image)
    with pytest.raises(Conflict, match=words) as caught:
        services.image_remove(actor=technician, image=image, reason="Label")
    assert caught.value.code == "E_FROZEN"
    assert blobs().exists(image.content_sha256)
    assert not AuditEvent.objects.filter(action="image.remove").exists()
    services.image_remove(actor=technician, image=free, reason="Label")


def test_a_withdrawn_patient_keeps_its_tombstones(technician: Any, patient: Patient, slide: Slide, add: Any) -> None:
    image = add(slide, 1)
    services.patient_withdraw(actor=technician, patient=patient, reason="Consent")
    with pytest.raises(Conflict, match="withdrawn"):
        services.image_remove(actor=technician, image=image, reason="Label")


def test_the_page_removes_and_says_what_holds(as_role: Any, slide: Slide, add: Any) -> None:
    client, image = as_role("technician"), add(slide, 1)
    address = reverse("image_remove", args=[image.public_id])
    assert client.post(address, {"reason": ""}).status_code == 400
    hold_by_exclusion(image)
    response = client.post(address, {"reason": "Label"})
    assert response.status_code == 400
    assert b"a curation decision rests on it" in response.content
    free = add(slide, 2)
    response = client.post(reverse("image_remove", args=[free.public_id]), {"reason": "Label"})
    assert response.url == reverse("slide_detail", args=[slide.pk])


def test_the_sweep_ends_a_removal_that_was_killed_before_the_file_went(
    technician: Any, slide: Slide, other_slide: Slide, add: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured of the field, its tiny picture too, neither keeps the file nor stays."""
    image, theirs = add(slide, 1), add(other_slide, 2)
    for one in (image, theirs):
        quality_make(one.content_sha256, seed=1)
        TextHint.objects.create(content_sha256=one.content_sha256, version=1)

    def killed(self: BlobStore, sha256: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "purge", killed)
        with pytest.raises(KeyboardInterrupt):
            services.image_remove(actor=technician, image=image, reason="A name in the picture")
    assert blobs().exists(image.content_sha256)
    assert media_sweep(older_than_s=-1).files == 1
    assert list(blobs().names()) == [theirs.content_sha256]
    for measure in (ImageQuality, TextHint):
        assert list(measure.objects.values_list("content_sha256", flat=True)) == [theirs.content_sha256]


@pytest.mark.parametrize("trouble", [StorageDown("The object store does not answer."), OSError("read-only")])
def test_a_store_that_fails_after_the_deed_is_told_as_it_is(
    as_role: Any, slide: Slide, other_slide: Slide, add: Any, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    image, client = add(slide, 1), as_role("admin")
    for seed in (2, 3):
        add(other_slide, seed)
    asked: list[str] = []

    def fails(self: BlobStore, sha256: str) -> None:
        asked.append(sha256)
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "purge", fails)
        address = reverse("image_remove", args=[image.public_id])
        page = client.post(address, {"reason": "Label"}, follow=True).content.decode()
        assert "Field 1 was removed from slide P-001-S1. The store failed just then, so 1 stored file will go" in page
        address = reverse("patient_withdraw", args=[other_slide.patient_id])
        answer = client.post(address, {"reason": "Consent", "code": other_slide.patient.code}, follow=True)
        assert "P-002 was withdrawn. The store failed just then, so 2 stored files will go" in answer.content.decode()
    assert len(asked) == 2, "a store that fails is not asked for every file"
    assert not slide.images.exists()
    assert media_sweep(older_than_s=-1).files == 3


def orphan(age_s: float) -> Path:
    path = blobs().path(blobs().put(os.urandom(40)))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_the_keeper_queues_one_sweep_a_day(cohort: Cohort, slide: Slide, add: Any, run_jobs: Callable[[], int]) -> None:
    kept, old, young = add(slide, 1), orphan(25 * 3600), orphan(60)
    for _ in range(3):
        reap_and_ring()
    job = Job.objects.get(kind="cases.sweep_media")
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.note) == (Job.Status.DONE, "1 stored file, 0 archives and 0 cached files removed.")
    assert (old.exists(), young.exists(), blobs().exists(kept.content_sha256)) == (False, True, True)
    reap_and_ring()
    assert Job.objects.filter(kind="cases.sweep_media").count() == 1
    Job.objects.update(created_at=timezone.now() - timedelta(hours=25))
    reap_and_ring()
    assert Job.objects.filter(kind="cases.sweep_media").count() == 2
