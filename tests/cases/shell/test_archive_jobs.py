"""An archive of an upload: unpacked by a job, refused, given up, tried again."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from cases import services
from cases.models import HpfImage, Slide, UploadBatch, UploadItem
from cases.services.archives import archive_receive
from cases.services.sweeping import media_sweep
from cases.services.uploads import (
    Announced,
    archive_path,
    upload_batch_close,
    upload_batch_create,
    upload_items_add,
)
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_cancel, job_claim, job_retry
from leukoweb.core.models import AuditEvent, Job
from tests.cases.shell.pictures import picture

State = UploadItem.State


def announced(path: str, data: bytes, **more: Any) -> Announced:
    return Announced(path, len(data), hashlib.sha256(data).hexdigest(), **more)


@pytest.fixture
def batch(technician: Any, slide: Slide) -> UploadBatch:
    return upload_batch_create(actor=technician, slide=slide)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # no clock: the same bytes each time
    return buffer.getvalue()


def announce_zip(batch: UploadBatch, content: bytes, members: list[str], slide: str = "") -> UploadItem:
    files = [announced("x.zip", content, is_archive=True)]
    files += [Announced(f"x.zip/{name}", 9, slide=slide, member_of="x.zip") for name in members]
    return upload_items_add(batch=batch, files=files)[0]


def test_an_archive_is_unpacked_by_a_job(
    technician: Any, batch: UploadBatch, slide: Slide, run_jobs: Callable[[], int]
) -> None:
    files = {"d/1.png": picture(1), "d/2.png": b"broken", "d/10.png": picture(2), "d/extra.txt": b"x"}
    content = zipped(files)
    item = announce_zip(batch, content, ["d/1.png", "d/2.png", "d/10.png", "d/gone.png"])
    job = archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    assert archive_receive(actor=technician, item=item, stream=io.BytesIO(content)).pk == job.pk
    with pytest.raises(Conflict, match="unpacked"):
        upload_batch_close(actor=technician, batch=batch)
    assert run_jobs() == 1
    job.refresh_from_db()
    assert (job.status, job.done_units) == (Job.Status.DONE, 3)
    assert job.note == "2 images taken in, 2 refused; 1 other file of the archive not announced and passed over"
    states = dict(item.members.values_list("path", "code"))
    assert states["x.zip/d/1.png"] == states["x.zip/d/10.png"] == ""
    assert states["x.zip/d/2.png"] == "E_NOT_IMAGE"
    assert states["x.zip/d/gone.png"] == "E_ZIP_MEMBER"
    assert list(slide.images.values_list("position", flat=True)) == [1, 3]
    assert not archive_path(item).exists()


def test_a_killed_unpacking_goes_on_where_it_stopped(
    technician: Any, batch: UploadBatch, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cases import worker

    content = zipped({f"{i}.png": picture(i) for i in range(5)})
    item = announce_zip(batch, content, [f"{i}.png" for i in range(5)])
    job = archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    prepared: list[str] = []
    original = worker.image_prepare

    def dies_at_third(data: bytes, name: str) -> Any:
        prepared.append(name)
        if len(prepared) == 3:
            raise SystemExit
        return original(data, name)

    monkeypatch.setattr(worker, "image_prepare", dies_at_third)
    with pytest.raises(SystemExit):
        run_jobs()
    assert HpfImage.objects.count() == 2
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")
    run_jobs()
    assert HpfImage.objects.count() == 5
    assert len(prepared) == 6, "three before the kill, three after it: nothing was done twice"


def test_a_withdrawal_while_a_file_is_decoded_takes_the_archives_name_out_of_it(
    technician: Any, slide: Slide, other_slide: Slide, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is called like the patient who is withdrawn; the file is another patient's."""
    from cases import worker

    batch = upload_batch_create(actor=technician, cohort=slide.patient.cohort)
    content = zipped({"theirs.png": picture(1)})
    files = [announced("DOE.zip", content, is_archive=True)]
    files += [Announced(f"DOE.zip/{name}.png", 9, slide=of.code, member_of="DOE.zip")
              for name, of in (("gone", slide), ("theirs", other_slide))]  # fmt: skip
    item = upload_items_add(batch=batch, files=files)[0]
    archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    original = worker.image_prepare

    def withdrawn_meanwhile(data: bytes, name: str) -> Any:
        prepared = original(data, name)
        services.patient_withdraw(actor=technician, patient=slide.patient, reason="Consent withdrawn")
        return prepared

    monkeypatch.setattr(worker, "image_prepare", withdrawn_meanwhile)
    assert run_jobs() == 1
    image = other_slide.images.get()
    assert image.original_name.name == f"withdrawn-{item.pk}/theirs.png"
    assert not UploadItem.objects.filter(path__contains="DOE").exists()


def test_a_broken_archive_fails_with_its_reason(
    technician: Any, batch: UploadBatch, run_jobs: Callable[[], int]
) -> None:
    content = zipped({"1.png": picture(1)})[:-30]
    item = announce_zip(batch, content, ["1.png"])
    job = archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    run_jobs()
    job.refresh_from_db()
    item.refresh_from_db()
    assert (job.status, job.error_code, item.state) == (Job.Status.FAILED, "E_ZIP_CORRUPT", State.REFUSED)
    assert item.members.get().code == "E_ZIP_CORRUPT"


def test_an_archive_without_announced_files_is_refused_and_can_be_sent_again(
    technician: Any, batch: UploadBatch, slide: Slide, run_jobs: Callable[[], int]
) -> None:
    """Thrown away as "stored", it would be a loss that nobody notices."""
    content = zipped({"d/1.png": picture(1), "d/2.png": picture(2)})
    item = announce_zip(batch, content, [])
    job = archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    run_jobs()
    job.refresh_from_db()
    item.refresh_from_db()
    assert (job.status, job.error_code, item.state) == (Job.Status.FAILED, "E_UNANNOUNCED", State.REFUSED)
    assert "member_of" in item.hint
    assert not archive_path(item).exists()
    upload_items_add(
        batch=batch, files=[Announced(f"x.zip/d/{n}.png", 9, member_of="x.zip") for n in (1, 2)]
    )  # fmt: skip
    archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    run_jobs()
    item.refresh_from_db()
    assert (item.state, slide.images.count()) == (State.STORED, 2)


@pytest.mark.both_databases
def test_an_upgrade_takes_names_out_of_what_was_kept(technician: Any, batch: UploadBatch) -> None:
    """Jobs that failed before the words were nameless; other jobs keep theirs."""
    item, _ = received_zip(technician, batch)
    item.members.update(state=State.REFUSED, code="E_ZIP_CASE", message="Members of the archive differ: 'DOE.jpg'.")
    kinds = ("cases.ingest_archive", "cases.import_dataset", "cases.ingest_archive", "inference.run")
    codes = ("E_ZIP_CASE", "E_DATASET_FILES", "E_ARCHIVE_GONE", "E_NAME")
    Job.objects.all().delete()
    for kind, code in zip(kinds, codes, strict=True):
        Job.objects.create(kind=kind, queue="ops", title="t", status="failed", error_code=code, error=f"DOE {code}")
    import_module("cases.migrations.0011_nameless_job_errors").forget_names(apps, None)
    kept = dict(Job.objects.values_list("error_code", "error"))
    assert {code for code, error in kept.items() if "DOE" in error} == {"E_ARCHIVE_GONE", "E_NAME"}
    assert all(kept.values())
    assert "DOE" not in item.members.get().message


@pytest.mark.parametrize("change", [b"", b"more"])
def test_an_archive_that_changed_on_the_way_is_not_kept(technician: Any, batch: UploadBatch, change: bytes) -> None:
    content = zipped({"1.png": picture(1)})
    item = announce_zip(batch, content, ["1.png"])
    with pytest.raises(DomainError) as caught:
        archive_receive(actor=technician, item=item, stream=io.BytesIO(content[:-1] + change))
    assert caught.value.status == 422
    assert not archive_path(item).exists()
    assert list(archive_path(item).parent.iterdir()) == []


def received_zip(technician: Any, batch: UploadBatch) -> tuple[UploadItem, Job]:
    content = zipped({"1.png": picture(1)})
    item = announce_zip(batch, content, ["1.png"])
    job = archive_receive(actor=technician, item=item, stream=io.BytesIO(content))
    item.refresh_from_db()
    return item, job


def test_an_upload_whose_unpacking_was_cancelled_can_be_closed(
    technician: Any, batch: UploadBatch, run_jobs: Callable[[], int]
) -> None:
    item, job = received_zip(technician, batch)
    job_cancel(actor=technician, job=job)
    assert archive_path(item).exists(), "a retry of the job would go on with it"
    assert not upload_batch_close(actor=technician, batch=batch).is_open
    item.refresh_from_db()
    assert (item.state, item.code) == (State.REFUSED, "E_GIVEN_UP")
    assert "its job was cancelled" in item.message
    assert not archive_path(item).exists(), "it may hold names"
    assert AuditEvent.objects.get(action="upload.close").data == {"n_missing": 1, "n_archives_given_up": 1}
    job_retry(actor=technician, job=job)
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Job.Status.FAILED, "E_ARCHIVE_GONE")


def test_an_upload_is_not_closed_while_its_archive_is_being_unpacked(technician: Any, batch: UploadBatch) -> None:
    item, job = received_zip(technician, batch)
    assert job_claim(job.pk, "a worker")
    with pytest.raises(Conflict, match="unpacked"):
        upload_batch_close(actor=technician, batch=batch)
    assert archive_path(item).exists()


def test_a_cancelled_unpacking_can_be_retried(technician: Any, batch: UploadBatch, run_jobs: Callable[[], int]) -> None:
    item, job = received_zip(technician, batch)
    job_cancel(actor=technician, job=job)
    os.utime(archive_path(item), (1, 1))
    media_sweep()
    assert archive_path(item).exists(), "its job ended a moment ago: the age limit counts from there"
    job_retry(actor=technician, job=job)
    run_jobs()
    assert item.members.get().state == State.STORED


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_the_sweep_removes_an_archive_that_nobody_retried(technician: Any, batch: UploadBatch, status: str) -> None:
    item, job = received_zip(technician, batch)
    os.utime(archive_path(item), (1, 1))
    media_sweep()
    assert archive_path(item).exists(), "its job waits"
    Job.objects.filter(pk=job.pk).update(status=status, finished_at=timezone.now() - timedelta(hours=25))
    assert media_sweep().archives == 1
    assert not archive_path(item).exists()
    item.refresh_from_db()
    assert (item.state, item.code) == (State.EXPECTED, "E_ARCHIVE_GONE"), "the uploader is asked for it again"
    content = zipped({"1.png": picture(1)})
    assert archive_receive(actor=technician, item=item, stream=io.BytesIO(content)).pk != job.pk
