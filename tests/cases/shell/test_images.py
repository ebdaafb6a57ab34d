"""Taking images in: order of writes, duplicates, refusals, races; withdrawing; sweeping."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import connections
from django.db.models import Q

from cases import services
from cases.models import HpfImage, ImageOriginalName, ImageQuality, Patient, Slide, UploadItem
from cases.services import content, sweeping
from cases.services import images as images_module
from cases.services.content import missing_or_damaged, named_contents, thumbnail_of
from cases.stripped import ImageRefused
from inference.pipeline.image_cache import ArrayCache
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.files import write_whole
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import BlobStore, blobs
from tests.cases.datasets.rows import quality_make
from tests.cases.shell.pictures import picture

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_an_image_is_stored_with_its_record(technician: Any, slide: Slide) -> None:
    data = picture(1, fmt="JPEG")
    added = services.image_add(actor=technician, slide=slide, data=data, name="folder/DOE_JOHN.jpg")
    image = added.image
    assert added.created
    assert (image.position, image.width_px, image.height_px, image.format) == (1, 80, 70, "JPEG")
    assert image.received_sha256 == hashlib.sha256(data).hexdigest()
    assert hashlib.sha256(blobs().read(image.content_sha256)).hexdigest() == image.content_sha256
    assert len(image.phash) == 16
    assert image.original_name.name == "folder/DOE_JOHN.jpg"
    assert not AuditEvent.objects.filter(data__icontains="DOE").exists()


def test_the_same_file_again_returns_the_row(technician: Any, slide: Slide) -> None:
    first = services.image_add(actor=technician, slide=slide, data=picture(1), name="a.png")
    again = services.image_add(actor=technician, slide=slide, data=picture(1), name="b.png")
    assert (again.image, again.created) == (first.image, False)
    assert slide.images.count() == 1


def test_duplicates_elsewhere_stay_with_a_warning(
    technician: Any, patient: Patient, slide: Slide, other_slide: Slide
) -> None:
    second = services.slide_create(actor=technician, patient=patient, code="P-001-S2")
    codes = [
        [note.code for note in services.image_add(actor=technician, slide=s, data=picture(1), name="a.png").warnings]
        for s in (slide, second, other_slide)
    ]
    assert codes == [[], ["W_DUPLICATE"], ["W_DUPLICATE_PATIENT", "W_DUPLICATE_PATIENT"]]
    assert HpfImage.objects.count() == 3


def test_a_refused_file_leaves_nothing(technician: Any, slide: Slide) -> None:
    with pytest.raises(ImageRefused):
        services.image_add(actor=technician, slide=slide, data=b"not an image", name="a.png")
    assert not HpfImage.objects.exists()
    assert list(blobs().names()) == []


def test_the_file_is_complete_before_its_row(technician: Any, slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between file and row leaves an orphan that the sweep takes, never a row without a file."""

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images_module, "_write_row", killed)
    with pytest.raises(KeyboardInterrupt):
        services.image_add(actor=technician, slide=slide, data=picture(1), name="a.png")
    assert not HpfImage.objects.exists()
    (orphan,) = blobs().names()
    os.utime(blobs().path(orphan), (1, 1))
    assert blobs().sweep(named_contents()) == 1


def test_a_kill_while_the_file_is_written_leaves_no_row(
    technician: Any, slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        services.image_add(actor=technician, slide=slide, data=picture(1), name="a.png")
    assert not HpfImage.objects.exists()
    assert list(blobs().names()) == []


@pytest.mark.django_db(transaction=True)
def test_many_at_once_write_one_row(technician: Any, slide: Slide) -> None:
    results: list[bool] = []

    def upload() -> None:
        try:
            added = services.image_add(actor=technician, slide=slide, data=picture(1), name="a.png")
            results.append(added.created)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=upload) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 5 + [True]
    assert HpfImage.objects.count() == 1


def test_a_withdrawal_between_file_and_row_leaves_no_pixels(
    technician: Any, coordinator: Any, patient: Patient, slide: Slide
) -> None:
    prepared = services.image_prepare(picture(1), "a.png")
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    with pytest.raises(Conflict, match="withdrawn"):
        services.image_store(actor=technician, slide=slide, prepared=prepared)
    assert list(blobs().names()) == []


@pytest.mark.django_db(transaction=True)
def test_uploads_and_a_withdrawal_at_once_leave_rows_and_pixels_that_agree(
    technician: Any, coordinator: Any, patient: Patient, slide: Slide, other_slide: Slide
) -> None:
    """The same pictures go to a patient who is withdrawn meanwhile and to one who is not."""
    troubles: list[str] = []
    start = threading.Barrier(5)

    def worker(deed: Callable[[], Any]) -> None:
        start.wait()
        try:
            deed()
        except Conflict as error:
            if error.code != "E_WITHDRAWN":
                troubles.append(str(error))
        except Exception as error:
            troubles.append(repr(error))
        finally:
            connections.close_all()

    def upload(target: Slide) -> None:
        for seed in range(6):
            services.image_add(actor=technician, slide=target, data=picture(seed), name=f"{seed}.png")

    deeds: list[Callable[[], Any]] = [
        lambda: upload(slide), lambda: upload(slide), lambda: upload(other_slide), lambda: upload(other_slide),
        lambda: services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn"),
    ]  # fmt: skip
    threads = [threading.Thread(target=worker, args=[deed]) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    live = set(other_slide.images.values_list("content_sha256", flat=True))
    assert len(live) == 6
    assert set(blobs().names()) == live


def test_withdrawing_purges_pixels_and_names_and_keeps_a_tombstone(
    coordinator: Any, patient: Patient, slide: Slide, add: Callable[..., HpfImage]
) -> None:
    image = add(slide, 1, "DOE.png")
    thumbnail_of(image.content_sha256)
    assert services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn") == 1
    patient.refresh_from_db()
    assert patient.withdrawn_at is not None
    assert not blobs().exists(image.content_sha256)
    assert not ImageOriginalName.objects.exists()
    assert HpfImage.objects.filter(pk=image.pk).exists(), "the row is the tombstone"
    assert AuditEvent.objects.get(action="patient.withdraw").reason == "Consent withdrawn"


def test_withdrawing_purges_every_cached_file_of_the_pixels(
    coordinator: Any, patient: Patient, slide: Slide, add: Callable[..., HpfImage], settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image = add(slide, 1)
    overlay = settings.CACHE_ROOT / "saliency" / f"{image.content_sha256}.model_2.png"
    other = settings.CACHE_ROOT / "saliency" / f"{'0' * 64}.png"
    overlay.parent.mkdir(parents=True)
    overlay.write_bytes(b"map")
    other.write_bytes(b"map")
    pixels = ArrayCache(settings.CACHE_ROOT / "training", (1,), np.uint8)

    def killed(temporary: str, path: object) -> None:
        os.rename(temporary, f"{temporary}.left")  # out of reach of what tidies up after an error

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        write_whole(overlay, b"map")
        pixels.put(image.content_sha256, np.zeros(1, np.uint8))
    left = list(settings.CACHE_ROOT.rglob("*.left"))
    assert len(left) == 2
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    assert (overlay.exists(), other.exists()) == (False, True)
    assert not any(path.exists() for path in left)


def test_the_sweep_ends_a_withdrawal_that_was_killed_before_it_came_to_the_cache(
    coordinator: Any, patient: Patient, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage],
    settings: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image, theirs = add(slide, 1), add(other_slide, 2)
    for one in (image, theirs):
        quality_make(one.content_sha256, seed=1)
    monkeypatch.setattr(content, "_purge_cache", lambda gone: None)
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    quality_make(image.content_sha256, seed=1)  # measured at that very moment
    kept = [settings.CACHE_ROOT / "models" / "card.json", settings.CACHE_ROOT / "openvino" / f"{'1' * 20}.blob"]
    left = [
        settings.CACHE_ROOT / "saliency" / f"{one.content_sha256}.{weights}.npy"
        for one, weights in ((image, "a"), (theirs, "a"), (image, "b"))
    ]
    half = [
        settings.CACHE_ROOT / name
        for name in ("thumbs/ab/.tmp-1", f"saliency/{theirs.content_sha256}.a.npy.tmp-1", "export-1/model_1/card.json",
                     "import-1/model_1/weights.safetensors", f"models/{'2' * 64}/.new-1/model.onnx")
    ]  # fmt: skip
    for path in (*left, *kept, *half):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert sweeping.media_sweep().cached == 0, "what is of today may be in use"
    assert sweeping.media_sweep(older_than_s=-1).cached == 2 + len(half)
    assert [path.exists() for path in (*left, *kept)] == [False, True, False, True, True]
    assert not any(path.exists() for path in half)
    assert sorted(path.name for path in settings.CACHE_ROOT.iterdir()) == ["models", "openvino", "saliency", "thumbs"]
    assert list(ImageQuality.objects.values_list("content_sha256", flat=True)) == [theirs.content_sha256]


def test_pixels_that_a_live_patient_also_has_stay(
    coordinator: Any, patient: Patient, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    shared = add(slide, 1)
    add(other_slide, 1)
    add(slide, 2)
    assert services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn") == 1
    assert blobs().exists(shared.content_sha256)
    services.patient_withdraw(actor=coordinator, patient=other_slide.patient, reason="Consent withdrawn")
    assert not blobs().exists(shared.content_sha256), "the last patient who had it is gone"


def test_pixels_of_a_patient_who_is_hidden_from_whoever_withdraws_another_stay(
    coordinator: Any, patient: Patient, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage],
    blindfold: Callable[..., None],
) -> None:  # fmt: skip
    """Whoever reads a study blinded does not see its patients; their pixels are there all the same."""
    shared = add(slide, 1)
    add(other_slide, 1)
    quality_make(shared.content_sha256, seed=1)
    blindfold(other_slide.patient)
    assert services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn") == 0
    assert sweeping.media_sweep(older_than_s=-1).files == 0
    assert blobs().exists(shared.content_sha256)
    assert ImageQuality.objects.exists()


def test_a_withdrawn_patient_takes_nothing_more(
    coordinator: Any, patient: Patient, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    image = add(slide, 1)
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    patient.refresh_from_db()
    slide = Slide.objects.select_related("patient").get(pk=slide.pk)
    deeds: list[Callable[[], Any]] = [
        lambda: add(slide, 5),
        lambda: services.slide_create(actor=coordinator, patient=patient, code="S9"),
        lambda: services.slide_change(actor=coordinator, slide=slide, stain="x"),
        lambda: services.patient_recode(actor=coordinator, patient=patient, code="X", reason="r"),
        lambda: services.images_move(actor=coordinator, images=[image], slide=other_slide, reason="r"),
        lambda: services.reference_add(actor=coordinator, patient=patient, diagnosis="AML", source="s"),
        lambda: services.patient_withdraw(actor=coordinator, patient=patient, reason="r"),
    ]
    for deed in deeds:
        with pytest.raises(Conflict, match="withdrawn"):
            deed()
    with pytest.raises(DomainError, match="why"):
        services.patient_withdraw(actor=coordinator, patient=other_slide.patient, reason="")


def test_a_kill_before_the_purge_is_made_good_by_the_sweep(
    coordinator: Any, patient: Patient, slide: Slide, add: Callable[..., HpfImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = add(slide, 1)

    def killed(self: BlobStore, sha256: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "purge", killed)
        with pytest.raises(KeyboardInterrupt):
            services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    patient.refresh_from_db()
    assert patient.withdrawn_at is not None
    assert blobs().exists(image.content_sha256)
    assert blobs().sweep(named_contents(), older_than_s=-1) == 1


def test_upload_paths_of_a_withdrawn_patient_are_forgotten(
    coordinator: Any, technician: Any, patient: Patient, slide: Slide
) -> None:
    from cases.services.uploads import Announced, upload_batch_create, upload_items_add

    batch = upload_batch_create(actor=technician, slide=slide)
    upload_items_add(batch=batch, files=[Announced("DOE/a.png", 5), Announced("DOE/b.png", 5)])
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    assert not UploadItem.objects.filter(path__contains="DOE").exists()


def test_paths_of_fields_that_were_moved_to_a_withdrawn_patient_are_forgotten(
    coordinator: Any, technician: Any, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    """They were sent to the slide of somebody else, and so was the archive that brought one of them."""
    from cases.services.uploads import Announced, upload_batch_create, upload_items_add

    batch = upload_batch_create(actor=technician, slide=other_slide)
    files = [Announced("DOE/a.png", 5), Announced("x.png", 5), Announced("DOE.zip", 9, is_archive=True)]
    files += [Announced(f"DOE.zip/{name}", 5, member_of="DOE.zip") for name in ("b.png", "c.png")]
    upload_items_add(batch=batch, files=files)
    images = {path: add(other_slide, seed, path) for seed, path in enumerate(("DOE/a.png", "DOE.zip/b.png"))}
    for path, image in images.items():
        UploadItem.objects.filter(path=path).update(image=image)
    services.images_move(actor=technician, images=list(images.values()), slide=slide, reason="Wrong folder")
    services.patient_withdraw(actor=coordinator, patient=slide.patient, reason="Consent withdrawn")
    archive = UploadItem.objects.get(is_archive=True)
    paths = set(UploadItem.objects.filter(image=None).values_list("path", flat=True))
    assert paths == {"x.png", archive.path, f"{archive.path}/c.png"}
    assert not UploadItem.objects.filter(path__contains="DOE").exists()


def test_the_name_of_a_withdrawn_patients_archive_is_forgotten(
    coordinator: Any, technician: Any, patient: Patient, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    from cases.services.uploads import Announced, upload_batch_create, upload_items_add

    batch = upload_batch_create(actor=technician, cohort=slide.patient.cohort)
    upload_items_add(
        batch=batch,
        files=[
            Announced("DOE_1970.zip", 9, is_archive=True),
            Announced("DOE_1970.zip/a.png", 5, slide=slide.code, member_of="DOE_1970.zip"),
            Announced("DOE_1970.zip/two/b.png", 5, slide=other_slide.code, member_of="DOE_1970.zip"),
            Announced("other.zip", 9, is_archive=True),
            Announced("other.zip/c.png", 5, slide=other_slide.code, member_of="other.zip"),
        ],
    )
    theirs = add(other_slide, 3, name="DOE_1970.zip/two/b.png")
    UploadItem.objects.filter(path__endswith="b.png").update(image=theirs, message="DOE_1970.zip/two/b.png is small")
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    archive = UploadItem.objects.get(is_archive=True, path__startswith="withdrawn-")
    assert set(UploadItem.objects.exclude(slide=slide).values_list("path", flat=True)) == {
        archive.path, f"{archive.path}/two/b.png", "other.zip", "other.zip/c.png",
    }  # fmt: skip
    assert ImageOriginalName.objects.get(image=theirs).name == f"{archive.path}/two/b.png"
    assert not UploadItem.objects.filter(Q(path__contains="DOE") | Q(message__contains="DOE")).exists()


def test_verify_finds_missing_and_damaged_files(slide: Slide, add: Callable[..., HpfImage]) -> None:
    good, missing, damaged = (add(slide, seed) for seed in range(3))
    blobs().purge(missing.content_sha256)
    path = blobs().path(damaged.content_sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [(image.pk, text) for image, text in missing_or_damaged(deep=True)] == [
        (missing.pk, "missing"), (damaged.pk, "its bytes have changed"),
    ]  # fmt: skip
    assert good.pk not in {image.pk for image, _ in missing_or_damaged(deep=False)}


def test_the_sweep_leaves_young_files_and_those_of_other_apps(slide: Slide, add: Callable[..., HpfImage]) -> None:
    image = add(slide, 1)
    young = blobs().put(b"being written")
    assert blobs().sweep(named_contents()) == 0
    old = time.time() - 90_000
    for name in (young, image.content_sha256):
        os.utime(blobs().path(name), (old, old))
    assert blobs().sweep(named_contents()) == 1
    assert blobs().exists(image.content_sha256)
