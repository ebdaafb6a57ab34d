"""Uploads from a browser: a manifest first, then one request per file, resumable for as long as the batch is open."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from cases.imaging import DEFAULT_LIMITS
from cases.models import Cohort, HpfImage, Patient, Slide, UploadBatch, UploadItem
from cases.services.checks import require_live
from cases.services.images import ImageAdded, image_add
from cases.services.patients import patient_create
from cases.services.removals import REMOVED
from cases.services.slides import slide_create
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import User

ARCHIVE_BYTES_MAX = 2_000_000_000
PATH_MAX = 500
State = UploadItem.State


class ChecksumDiffers(DomainError):
    """What arrived is not what was announced: the line changed it, or the file changed meanwhile."""

    code = "E_CHECKSUM"
    status = 422


@dataclass(frozen=True)
class Announced:
    """A file as a manifest names it. ``slide`` is a code; empty where the batch has one slide for everything.

    ``member_of`` is the path of the archive that holds the file; ``sha256`` may be empty (not every browser hashes).
    """

    path: str
    size_bytes: int
    sha256: str = ""
    slide: str = ""
    is_archive: bool = False
    member_of: str = ""


@transaction.atomic
def upload_batch_create(
    *, actor: User, cohort: Cohort | None = None, slide: Slide | None = None,
    slides: Iterable[tuple[str, str]] = (),
) -> UploadBatch:  # fmt: skip
    """Open an upload into one slide, or into a cohort with the (patient code, slide code) pairs that it fills.

    Patients and slides that do not exist yet are made, all or none.

    Raises
    ------
    DomainError
        Neither or both targets, or a code that cannot be one.
    Conflict
        A code belongs to another cohort or another patient, or a patient was withdrawn.
    """
    if (cohort is None) == (slide is None):
        raise DomainError("Name either a slide or a cohort.", field="cohort")
    if slide is not None:
        require_live(slide.patient)
    target = cohort or (slide.patient.cohort if slide else None)
    if target is None:
        raise DomainError("Name either a slide or a cohort.", field="cohort")
    for patient_code, slide_code in dict.fromkeys(slides):
        slide_ensure(actor=actor, cohort=target, patient_code=patient_code, slide_code=slide_code)
    batch = UploadBatch.objects.create(cohort=target, slide=slide, created_by=actor)
    audit_record(
        actor=actor, action="upload.create", target=f"upload:{batch.pk}",
        data={"cohort": target.pk, "slide": slide.pk if slide else None},
    )  # fmt: skip
    return batch


def slide_ensure(
    *, actor: User | None, cohort: Cohort, patient_code: str, slide_code: str, **acquisition: Any
) -> Slide:
    """The slide of these codes in the cohort, with its patient, made where missing. Refuses codes of others."""
    slide = Slide.objects.select_related("patient__cohort").filter(code=slide_code).first()
    if slide is not None:
        if slide.patient.code != patient_code or slide.patient.cohort_id != cohort.pk:
            raise Conflict(
                f"The slide code {slide_code!r} belongs to patient {slide.patient.code} of cohort"
                f" {slide.patient.cohort.name}.", code="E_TAKEN", field="slide",
                hint="Choose another slide code, or correct the patient code.",
            )  # fmt: skip
        require_live(slide.patient)
        return slide
    patient = Patient.objects.select_related("cohort").filter(code=patient_code).first()
    if patient is None:
        patient = patient_create(actor=actor, cohort=cohort, code=patient_code)
    elif patient.cohort_id != cohort.pk:
        raise Conflict(
            f"The patient code {patient_code!r} belongs to cohort {patient.cohort.name}.", code="E_TAKEN",
            field="patient", hint="A patient is in one cohort only. Choose another code, such as one with a prefix.",
        )  # fmt: skip
    return slide_create(actor=actor, patient=patient, code=slide_code, **acquisition)


def batch_of(user: User, batch_id: Any) -> UploadBatch:
    """An upload of this user; other people's are not found, because their paths may hold identities."""
    batch = UploadBatch.objects.select_related("cohort", "slide__patient").filter(pk=batch_id, created_by=user).first()
    if batch is None:
        raise NotFound("There is no such upload of yours.")
    return batch


def _require_open(batch: UploadBatch) -> None:
    if not batch.is_open:
        raise Conflict("This upload is closed.", code="E_LOCKED", hint="Start a new one.")


@transaction.atomic
def upload_items_add(*, batch: UploadBatch, files: Sequence[Announced]) -> list[UploadItem]:
    """Announce files in capture order. A path that was announced before keeps its item. Returns one item per file.

    A file that its slide has already (by the hash of the bytes as received) is a duplicate at once and need not be
    sent; one that is empty, too large or has an unusable name is refused at once. The hash may come later than the
    rest, with the same path again. An upload that closed because all of it was in is opened again by more files, not
    by the same ones; one that was given up is not. A field that was removed does not come back with the rest.

    Raises
    ------
    DomainError
        One path for two files (E_PATH_TWICE).
    """
    _require_once(files)
    batch = UploadBatch.objects.select_for_update().get(pk=batch.pk)
    paths = [file.path[:PATH_MAX] for file in files]
    known = {item.path: item for item in UploadItem.objects.filter(batch=batch, path__in=paths)}
    if not batch.is_open and _is_all_in(batch):
        if known.keys() >= set(paths):
            return [known[path] for path in paths]
        batch.closed_at = None
        batch.save(update_fields=["closed_at"])
    _require_open(batch)
    _hash_late(batch, known, files)
    slides = _slides_named(batch, [file for file in files if file.path[:PATH_MAX] not in known])
    held = set(
        HpfImage.objects.filter(slide__in=slides.values(), received_sha256__in=[f.sha256 for f in files if f.sha256])
        .values_list("slide_id", "received_sha256")
    )  # fmt: skip
    removed = _removed_of(batch)
    positions = {slide.pk: _last_position(slide) for slide in slides.values()}
    archives = {item.path: item for item in UploadItem.objects.filter(batch=batch, is_archive=True)}
    new: dict[str, UploadItem] = {}
    for path, file in zip(paths, files, strict=True):
        if path in known or path in new:
            continue
        slide = None if file.is_archive else slides[file.slide]
        item = UploadItem(
            batch=batch, path=path, size_bytes=file.size_bytes, sha256=file.sha256,
            is_archive=file.is_archive, slide=slide,
        )  # fmt: skip
        if file.member_of:
            item.archive = archives.get(file.member_of) or _no_archive(file)
        if slide is not None:
            positions[slide.pk] += 1
            item.position = positions[slide.pk]
            if (slide.pk, file.sha256) in held:
                item.state = State.DUPLICATE
        if item.state != State.DUPLICATE and (item.slide_id, file.sha256) in removed:
            _refuse(item, _removed())
        _refuse_at_once(item, file)
        new[path] = item
        if file.is_archive:
            item.save()  # its members, later in the same page, point at it
            archives[file.path] = item
    UploadItem.objects.bulk_create(item for item in new.values() if not item.is_archive)
    close_if_complete(batch)
    return [known.get(path) or new[path] for path in paths]


def _require_once(files: Sequence[Announced]) -> None:
    """Two files under one path would become one line, and one of them would be lost. The same file twice is one."""
    first: dict[str, Announced] = {}
    for file in files:
        if first.setdefault(file.path, file) != file or (first[file.path] is not file and not file.sha256):
            raise DomainError(
                f"The path {file.path[:80]!r} is announced twice, for two files.", code="E_PATH_TWICE", field="path",
                hint="Announce them with their folders, or one after the other in two uploads.",
            )  # fmt: skip


def _hash_late(batch: UploadBatch, known: dict[str, UploadItem], files: Sequence[Announced]) -> None:
    """Fill in the hashes of files that were announced without: a browser takes long over them, but not over names."""
    late = []
    for file in files:
        item = known.get(file.path[:PATH_MAX])
        same = item is not None and item.size_bytes == file.size_bytes and item.state == State.EXPECTED
        if item is not None and same and file.sha256 and not item.sha256:
            item.sha256 = file.sha256
            late.append(item)
    held = set(
        HpfImage.objects.filter(slide__in=[i.slide_id for i in late], received_sha256__in=[i.sha256 for i in late])
        .values_list("slide_id", "received_sha256")
    ) if late else set()  # fmt: skip
    removed = _removed_of(batch) if late else set()
    for item in late:
        if (item.slide_id, item.sha256) in held:
            item.state = State.DUPLICATE
        elif (item.slide_id, item.sha256) in removed:
            _refuse(item, _removed())
    UploadItem.objects.bulk_update(late, ["sha256", "state", "code", "message", "hint"])


def _removed_of(batch: UploadBatch) -> set[tuple[int | None, str]]:
    """Fields that this upload brought and that were removed since: (slide, SHA-256). Their lines lost their paths."""
    rows = UploadItem.objects.filter(batch=batch, path__startswith=REMOVED).exclude(sha256="").exclude(slide=None)
    return set(rows.values_list("slide_id", "sha256"))


def _removed() -> DomainError:
    return DomainError(
        "This field was removed from the slide after this upload had brought it.", code="E_REMOVED",
        hint="Leave it out; a new upload takes it in if it is to come back.",
    )  # fmt: skip


def _slides_named(batch: UploadBatch, files: Sequence[Announced]) -> dict[str, Slide]:
    wanted = {file.slide for file in files if not file.is_archive}
    if batch.slide is not None:
        return dict.fromkeys(wanted | {""}, batch.slide)
    slides = Slide.objects.filter(code__in=wanted, patient__cohort=batch.cohort).select_related("patient")
    found = {slide.code: slide for slide in slides}
    missing = sorted(wanted - set(found))
    if missing:
        raise NotFound(
            f"Cohort {batch.cohort} has no slide {missing[0]!r}.", field="slide",
            hint="Name each slide with its patient when the upload is opened.",
        )  # fmt: skip
    return found


def _last_position(slide: Slide) -> int:
    """Of stored images and of files that open uploads (other tabs) are about to send."""
    stored = HpfImage.objects.filter(slide=slide).aggregate(last=Max("position"))["last"] or 0
    coming = UploadItem.objects.filter(slide=slide, batch__closed_at=None).aggregate(last=Max("position"))["last"] or 0
    return max(stored, coming)


def _no_archive(file: Announced) -> UploadItem:
    raise NotFound(f"The archive {file.member_of[:80]!r} was not announced before its members.", field="member_of")


def archive_path(item: UploadItem) -> Path:
    """Where the archive of an item waits for its job. Named by number: the file's own name never becomes a path."""
    return Path(settings.DATA_DIR) / "uploads" / f"{item.pk}.zip"


def bytes_max(item: UploadItem) -> int:
    return ARCHIVE_BYTES_MAX if item.is_archive else DEFAULT_LIMITS.file_bytes


def _refuse_at_once(item: UploadItem, file: Announced) -> None:
    limit = bytes_max(item)
    if len(file.path) > PATH_MAX:
        message = f"The path has {len(file.path)} characters; the limit is {PATH_MAX}."
        _refuse(item, DomainError(message, code="E_NAME", hint="Rename the file or its folders."))
    elif file.size_bytes == 0:
        message = "The file is empty (0 bytes)."
        _refuse(item, DomainError(message, code="E_EMPTY", hint="Copy it from the camera again."))
    elif file.size_bytes > limit:
        size = f"{file.size_bytes / 1e6:.1f} MB > {limit / 1e6:.0f} MB"
        _refuse(item, DomainError(f"The file is too large: {size}.", code="E_TOO_LARGE", hint="Send single fields."))


def _refuse(item: UploadItem, error: DomainError, state: str = State.REFUSED) -> None:
    item.state, item.code, item.message, item.hint = state, error.code[:40], error.message, error.hint


def upload_item_receive(*, actor: User, item: UploadItem, data: bytes) -> tuple[UploadItem, ImageAdded | None]:
    """Take in the bytes of one announced file. Sending it again after it was stored changes nothing.

    Raises
    ------
    ChecksumDiffers
        Length or SHA-256 differ from the manifest; the file can be sent again.
    Conflict
        Another file was stored under this path (E_TAKEN).
    DomainError
        Why the file is refused; also written on the item.
    """
    _require_open(item.batch)
    sha256 = hashlib.sha256(data).hexdigest()
    if item.state in (State.STORED, State.DUPLICATE) or item.slide is None:
        _require_same(item, sha256)
        return item, None
    try:
        _require_as_announced(item, len(data), sha256)
        added = image_add(actor=actor, slide=item.slide, data=data, name=item.path, position=item.position)
    except DomainError as error:
        again = isinstance(error, ChecksumDiffers) or error.status >= 500
        _refuse(item, error, State.EXPECTED if again else State.REFUSED)
        item.save(update_fields=["state", "code", "message", "hint"])
        raise
    item.sha256 = sha256  # where the browser could not hash: what came is what was meant
    item_settle(item, added)
    return item, added


def item_settle(item: UploadItem, added: ImageAdded) -> None:
    """Write on the item what became of its file, and close the batch behind the last one."""
    item.state = State.STORED if added.created else State.DUPLICATE
    item.image = added.image
    item.code = item.message = item.hint = ""
    item.save(update_fields=["state", "image", "sha256", "code", "message", "hint"])
    close_if_complete(item.batch)


def item_refuse(item: UploadItem, error: DomainError) -> None:
    _refuse(item, error)
    item.save(update_fields=["state", "code", "message", "hint"])


def _require_same(item: UploadItem, sha256: str) -> None:
    """Other bytes for what is stored must not be told that they are stored. What came unhashed is compared by its row,
    but as a duplicate, whose row another file made, it cannot be."""
    stored = item.sha256 or (item.image.received_sha256 if item.image and item.state == State.STORED else "")
    if stored and sha256 != stored:
        raise Conflict(
            "Another file was taken in under this path already.", code="E_TAKEN",
            hint="Announce this one under a path of its own.",
        )  # fmt: skip


def _require_as_announced(item: UploadItem, size_bytes: int, sha256: str) -> None:
    if size_bytes != item.size_bytes:
        raise ChecksumDiffers(
            f"{size_bytes:,} bytes arrived, {item.size_bytes:,} were announced.", hint="Send the file again."
        )
    if item.sha256 and sha256 != item.sha256:
        raise ChecksumDiffers(
            f"The SHA-256 {sha256[:12]}... differs from the announced {item.sha256[:12]}...",
            hint="Send the file again.",
        )


def _is_all_in(batch: UploadBatch) -> bool:
    items = UploadItem.objects.filter(batch=batch)
    return items.exists() and not items.exclude(state__in=[State.STORED, State.DUPLICATE]).exists()


def close_if_complete(batch: UploadBatch) -> None:
    if _is_all_in(batch):
        UploadBatch.objects.filter(pk=batch.pk, closed_at=None).update(closed_at=timezone.now())


def upload_batch_close(*, actor: User, batch: UploadBatch) -> UploadBatch:
    """Give up what is still missing; what was stored stays.

    An archive whose job was cancelled or failed is given up too: it may hold names and what the cleaning would have
    taken out, so it does not stay on the disk.

    Raises
    ------
    Conflict
        A job is unpacking an archive or waits to do so.
    """
    with transaction.atomic():
        batch = UploadBatch.objects.select_for_update().get(pk=batch.pk)
        received = list(UploadItem.objects.filter(batch=batch, state=State.RECEIVED).select_related("job"))
        if any(item.job is not None and item.job.is_active for item in received):
            raise Conflict("An archive of this upload is still being unpacked.", hint="Wait for it, or cancel its job.")
        for item in received:
            item_refuse(item, _given_up(item))
        if batch.is_open:
            batch.closed_at = timezone.now()
            batch.save(update_fields=["closed_at"])
            missing = UploadItem.objects.filter(batch=batch, state=State.EXPECTED).count()
            audit_record(
                actor=actor, action="upload.close", target=f"upload:{batch.pk}",
                data={"n_missing": missing, "n_archives_given_up": len(received)},
            )  # fmt: skip
    for item in received:
        archive_path(item).unlink(missing_ok=True)
    return batch


def _given_up(item: UploadItem) -> DomainError:
    why = f"its job was {item.job.get_status_display().lower()}" if item.job is not None else "no job waits for it"
    return DomainError(
        f"The upload was closed before this archive was unpacked ({why}).", code="E_GIVEN_UP",
        hint="Start a new upload and send the archive again.",
    )  # fmt: skip
