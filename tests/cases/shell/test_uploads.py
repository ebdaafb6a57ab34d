"""Manifests, one file at a time, resume, archives by a job."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from cases import services
from cases.models import Cohort, HpfImage, Patient, Slide, UploadBatch, UploadItem
from cases.services.uploads import (
    Announced,
    ChecksumDiffers,
    batch_of,
    upload_batch_close,
    upload_batch_create,
    upload_item_receive,
    upload_items_add,
)
from cases.stripped import ImageRefused
from leukoweb.core.exceptions import Conflict, DomainError, NotFound, StorageFull
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


@pytest.mark.parametrize("hashed", [True, False])
def test_other_bytes_for_a_stored_file_are_not_stored_and_not_said_to_be(
    technician: Any, batch: UploadBatch, slide: Slide, hashed: bool
) -> None:
    data, other = picture(1), picture(1)[:-1] + b"?"
    file = announced("a.png", data) if hashed else Announced("a.png", len(data))
    item, _ = upload_items_add(batch=batch, files=[file, Announced("b.png", 5)])
    upload_item_receive(actor=technician, item=item, data=data)
    item.refresh_from_db()
    with pytest.raises(Conflict, match="Another file") as refused:
        upload_item_receive(actor=technician, item=item, data=other)
    assert refused.value.code == "E_TAKEN"
    item.refresh_from_db()
    assert (item.state, slide.images.count()) == (State.STORED, 1)


@pytest.mark.parametrize("more", [{"size_bytes": 6}, {"sha256": "1" * 64}, {}])
def test_one_path_for_two_files_is_refused(batch: UploadBatch, more: dict[str, Any]) -> None:
    with pytest.raises(DomainError, match="announced twice") as refused:
        upload_items_add(batch=batch, files=[Announced("d/1.png", 5), replace(Announced("d/1.png", 5), **more)])
    assert (refused.value.code, batch.items.count()) == ("E_PATH_TWICE", 0)


@pytest.mark.parametrize("hashed", [True, False])
def test_a_removed_field_does_not_come_back_when_the_upload_goes_on(
    technician: Any, batch: UploadBatch, hashed: bool
) -> None:
    """Its line has lost the path, so the browser announces it like a new one."""
    data = picture(1)
    first, _ = upload_items_add(batch=batch, files=[announced("DOE/a.png", data), Announced("DOE/b.png", 5)])
    item, added = upload_item_receive(actor=technician, item=first, data=data)
    assert added is not None
    services.image_remove(actor=technician, image=added.image, reason="A name in the picture")
    item.refresh_from_db()
    assert (item.path, item.image) == (f"removed-{item.pk}", None)
    if not hashed:  # names come first
        (again,) = upload_items_add(batch=batch, files=[Announced("DOE/a.png", len(data))])
        assert again.state == State.EXPECTED
    (again,) = upload_items_add(batch=batch, files=[announced("DOE/a.png", data)])
    assert (again.state, again.code) == (State.REFUSED, "E_REMOVED")
    assert batch.items.get(pk=again.pk).state == State.REFUSED


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
