"""Manifests, one file at a time, resume, archives by a job."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cases import services
from cases.models import Cohort, HpfImage, Patient, Slide, UploadBatch, UploadItem
from cases.services.archives import archive_receive
from cases.services.sweeping import media_sweep
from cases.services.uploads import (
    Announced,
    ChecksumDiffers,
    archive_path,
    batch_of,
    upload_batch_close,
    upload_batch_create,
    upload_item_receive,
    upload_items_add,
)
from cases.stripped import ImageRefused
from leukoweb.core.exceptions import Conflict, DomainError, NotFound, StorageFull
from leukoweb.core.jobs.ledger import job_cancel, job_claim, job_retry
from leukoweb.core.models import AuditEvent, Job
from leukoweb.core.storage import BlobStore
from tests.cases.shell.pictures import picture

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
State = UploadItem.State


def announced(path: str, data: bytes, **more: Any) -> Announced:
    return Announced(path, len(data), hashlib.sha256(data).hexdigest(), **more)


@pytest.fixture
def batch(technician: Any, slide: Slide) -> UploadBatch:
    return upload_batch_create(actor=technician, slide=slide)


def test_patients_and_slides_are_made_all_or_none(technician: Any, cohort: Cohort, patient: Patient) -> None:
    batch = upload_batch_create(
        actor=technician, cohort=cohort, slides=[("P-001", "A"), ("P-007", "B"), ("P-007", "C")]
    )
    assert batch.cohort == cohort
    assert sorted(Slide.objects.values_list("patient__code", "code")) == [
        ("P-001", "A"),
        ("P-007", "B"),
        ("P-007", "C"),
    ]
    with pytest.raises(Conflict, match="belongs to patient P-001"):
        upload_batch_create(actor=technician, cohort=cohort, slides=[("P-010", "D"), ("P-010", "A")])
    assert not Patient.objects.filter(code="P-010").exists()


def test_a_patient_of_another_cohort_is_refused(technician: Any, patient: Patient) -> None:
    other = services.cohort_create(actor=technician, name="Development", purpose="development")
    with pytest.raises(Conflict, match="External 2024"):
        upload_batch_create(actor=technician, cohort=other, slides=[("P-001", "X")])


def test_files_get_places_in_the_order_of_the_manifest_over_pages(batch: UploadBatch, slide: Slide, add: Any) -> None:
    add(slide, 99)
    first = upload_items_add(batch=batch, files=[Announced("f2.png", 5), Announced("f10.png", 5)])
    second = upload_items_add(batch=batch, files=[Announced("f10.png", 5), Announced("f11.png", 5)])
    assert [item.position for item in first + second] == [2, 3, 3, 4]
    assert second[0].pk == first[1].pk, "announced before: the same item"


def test_two_tabs_do_not_share_places(technician: Any, batch: UploadBatch, slide: Slide) -> None:
    other = upload_batch_create(actor=technician, slide=slide)
    (one,) = upload_items_add(batch=batch, files=[Announced("a.png", 5)])
    (two,) = upload_items_add(batch=other, files=[Announced("a.png", 5)])
    assert (one.position, two.position) == (1, 2)


def test_what_the_slide_has_already_need_not_be_sent(batch: UploadBatch, slide: Slide, add: Any) -> None:
    add(slide, 1)
    items = upload_items_add(batch=batch, files=[announced("a.png", picture(1)), announced("b.png", picture(2))])
    assert [item.state for item in items] == [State.DUPLICATE, State.EXPECTED]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (Announced("empty.png", 0), "E_EMPTY"),
        (Announced("large.png", 25_000_001), "E_TOO_LARGE"),
        (Announced("x" * 501, 5), "E_NAME"),
        (Announced("large.zip", 2_000_000_001, is_archive=True), "E_TOO_LARGE"),
    ],
)
def test_hopeless_files_are_refused_before_they_are_sent(batch: UploadBatch, file: Announced, code: str) -> None:
    (item,) = upload_items_add(batch=batch, files=[file])
    assert (item.state, item.code) == (State.REFUSED, code)
    assert item.message


def test_a_path_that_is_too_long_is_refused_once_and_again(batch: UploadBatch) -> None:
    long = [announced(f"{'a' * 500}{end}.png", picture(1)) for end in ("x", "y")]
    for _ in range(2):
        items = upload_items_add(batch=batch, files=long)
        assert [(item.state, item.code) for item in items] == [(State.REFUSED, "E_NAME")] * 2
    assert UploadItem.objects.count() == 1


def test_files_need_a_slide_of_the_cohort(technician: Any, cohort: Cohort) -> None:
    batch = upload_batch_create(actor=technician, cohort=cohort, slides=[("P-001", "A")])
    with pytest.raises(NotFound, match="'Z'"):
        upload_items_add(batch=batch, files=[Announced("a.png", 5, slide="Z")])


def test_receiving_stores_settles_and_closes(technician: Any, batch: UploadBatch, slide: Slide) -> None:
    data = picture(1), picture(2)
    items = upload_items_add(batch=batch, files=[announced(f"{i}.png", d) for i, d in enumerate(data)])
    for item, content in zip(reversed(items), reversed(data), strict=True):
        upload_item_receive(actor=technician, item=item, data=content)
    assert list(slide.images.values_list("position", "original_name__name")) == [(1, "0.png"), (2, "1.png")]
    batch.refresh_from_db()
    assert not batch.is_open


def test_sending_a_file_again_changes_nothing(technician: Any, batch: UploadBatch) -> None:
    first, _ = upload_items_add(batch=batch, files=[announced("a.png", picture(1)), Announced("b.png", 5)])
    upload_item_receive(actor=technician, item=first, data=picture(1))
    again, added = upload_item_receive(actor=technician, item=first, data=picture(1))
    assert (again.state, added, HpfImage.objects.count()) == (State.STORED, None, 1)


@pytest.mark.parametrize("arrived", [picture(2), picture(1)[:-1], b""])
def test_other_bytes_than_announced_can_be_sent_again(technician: Any, batch: UploadBatch, arrived: bytes) -> None:
    data = picture(1)
    (item,) = upload_items_add(batch=batch, files=[announced("a.png", data)])
    with pytest.raises(ChecksumDiffers):
        upload_item_receive(actor=technician, item=item, data=arrived)
    item.refresh_from_db()
    assert (item.state, item.code) == (State.EXPECTED, "E_CHECKSUM")
    upload_item_receive(actor=technician, item=item, data=data)
    assert item.state == State.STORED


def test_a_bad_file_is_refused_and_the_batch_stays_open(technician: Any, batch: UploadBatch) -> None:
    bad = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
    items = upload_items_add(batch=batch, files=[announced("bad.png", bad), announced("good.png", picture(1))])
    with pytest.raises(ImageRefused):
        upload_item_receive(actor=technician, item=items[0], data=bad)
    upload_item_receive(actor=technician, item=items[1], data=picture(1))
    items[0].refresh_from_db()
    batch.refresh_from_db()
    assert items[0].state == State.REFUSED
    assert items[0].message
    assert batch.is_open


def test_a_full_disk_refuses_nothing(technician: Any, batch: UploadBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: BlobStore, data: bytes) -> str:
        raise StorageFull("The disk is full.")

    (item,) = upload_items_add(batch=batch, files=[announced("a.png", picture(1))])
    monkeypatch.setattr(BlobStore, "put", full)
    with pytest.raises(StorageFull):
        upload_item_receive(actor=technician, item=item, data=picture(1))
    item.refresh_from_db()
    assert (item.state, item.code) == (State.EXPECTED, "E_STORAGE")


def test_an_upload_that_was_all_in_goes_on_with_the_next_announcement(technician: Any, batch: UploadBatch) -> None:
    """The last file of one page may be in before the next page is announced: nobody gave anything up."""
    (first,) = upload_items_add(batch=batch, files=[announced("a.png", picture(1))])
    upload_item_receive(actor=technician, item=first, data=picture(1))
    batch.refresh_from_db()
    assert not batch.is_open
    (second,) = upload_items_add(batch=batch, files=[announced("b.png", picture(2))])
    second.refresh_from_db()
    upload_item_receive(actor=technician, item=second, data=picture(2))
    batch.refresh_from_db()
    assert (second.state, batch.is_open) == (State.STORED, False)


def test_an_upload_that_was_all_in_stays_closed_where_nothing_is_new(
    technician: Any, batch: UploadBatch, slide: Slide
) -> None:
    files = [announced("a.png", picture(1))]
    (first,) = upload_items_add(batch=batch, files=files)
    upload_item_receive(actor=technician, item=first, data=picture(1))
    assert upload_items_add(batch=batch, files=files * 2)[1].pk == first.pk
    batch.refresh_from_db()
    assert not batch.is_open, "the same again"
    (twin,) = upload_items_add(batch=batch, files=[announced("twin.png", picture(1))])
    batch.refresh_from_db()
    assert (twin.state, batch.is_open) == (State.DUPLICATE, False), "nothing is left to be sent"


def test_a_hash_that_comes_with_new_files_closes_nothing_before_them(
    technician: Any, batch: UploadBatch, slide: Slide, add: Any
) -> None:
    add(slide, 1)
    upload_items_add(batch=batch, files=[Announced("a.png", len(picture(1)))])
    late, new = upload_items_add(batch=batch, files=[announced("a.png", picture(1)), announced("b.png", picture(2))])
    batch.refresh_from_db()
    assert (late.state, new.state, batch.is_open) == (State.DUPLICATE, State.EXPECTED, True)
    upload_item_receive(actor=technician, item=batch.items.get(path="b.png"), data=picture(2))
    batch.refresh_from_db()
    assert not batch.is_open


def test_names_come_first_and_hashes_later(technician: Any, batch: UploadBatch, slide: Slide) -> None:
    """Places are those of the first announcement; a hash that the slide has already makes the file a duplicate."""
    upload_items_add(batch=batch, files=[announced("old.png", picture(1))])
    upload_item_receive(actor=technician, item=batch.items.get(), data=picture(1))
    names = ["1.png", "2.png", "n" * 600]
    named = upload_items_add(batch=batch, files=[Announced(name, len(picture(3))) for name in names])
    assert [item.sha256 for item in named] == ["", "", ""]
    again = [announced("2.png", picture(3)), announced("1.png", picture(1)), Announced(names[2], len(picture(3)))]
    batch.items.filter(path="1.png").update(size_bytes=len(picture(1)))
    found = upload_items_add(batch=batch, files=again)
    assert [item.pk for item in found] == [named[1].pk, named[0].pk, named[2].pk]
    assert [item.state for item in found] == [State.EXPECTED, State.DUPLICATE, State.REFUSED]
    assert [item.position for item in found[:2]] == [3, 2]
    with pytest.raises(ChecksumDiffers):
        upload_item_receive(actor=technician, item=found[0], data=picture(3)[:-1] + b"x")


def test_a_closed_batch_takes_nothing(technician: Any, batch: UploadBatch) -> None:
    (item,) = upload_items_add(batch=batch, files=[announced("a.png", picture(1))])
    closed = upload_batch_close(actor=technician, batch=batch)
    item.batch = closed
    for deed in (
        lambda: upload_item_receive(actor=technician, item=item, data=picture(1)),
        lambda: upload_items_add(batch=closed, files=[Announced("b.png", 5)]),
    ):
        with pytest.raises(Conflict, match="closed"):
            deed()


def test_other_peoples_uploads_are_not_found(batch: UploadBatch, admin_user: Any, technician: Any) -> None:
    assert batch_of(technician, batch.pk) == batch
    with pytest.raises(NotFound):
        batch_of(admin_user, batch.pk)


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
