"""Taking images in and moving them to the right slide."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.db import IntegrityError, transaction
from django.db.models import Max

from cases.imaging import DEFAULT_LIMITS, AcceptedImage, Limits, Note, accept_image
from cases.models import HpfImage, ImageOriginalName, Slide
from cases.services.checks import require_live
from cases.services.content import PurgeDelayed, content_lock, contents_purge
from cases.services.patients import require_reason
from cases.services.reviews import review_reset
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.storage import blobs


@dataclass(frozen=True)
class ImageAdded:
    """What became of a file: its row, whether the row is new, and what a person should look at."""

    image: HpfImage
    created: bool
    warnings: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A file that was accepted and whose pixels are on disk; only its row is missing."""

    accepted: AcceptedImage
    phash: str
    name: str


def image_prepare(data: bytes, name: str, *, limits: Limits = DEFAULT_LIMITS) -> Prepared:
    """Check, clean and put the pixels on disk: the slow half, which needs no transaction.

    Raises
    ------
    ImageRefused
        The file cannot be taken in; see ``cases.imaging.accept_image``.
    StorageFull
        The disk is full; nothing was kept.
    """
    accepted = accept_image(data, name, limits=limits)
    phash = f"{accepted.phash:016x}"
    blobs().put(accepted.content)
    return Prepared(accepted, phash, name)


def image_store(*, actor: User | None, slide: Slide, prepared: Prepared, position: int | None = None) -> ImageAdded:
    """Write the row of a prepared file: the quick half.

    The identical image again in the same slide returns the existing row. In another slide both rows stay, with a
    warning (``W_DUPLICATE``), and across patients an alarm (``W_DUPLICATE_PATIENT``).

    Parameters
    ----------
    position
        Place in the capture order, from 1; behind the last one if not given.

    Raises
    ------
    Conflict
        The patient was withdrawn.
    """
    try:
        return _write_row(actor, slide, prepared, position)
    except Conflict:
        with contextlib.suppress(PurgeDelayed):  # withdrawn meanwhile: its pixels must not stay either
            contents_purge([prepared.accepted.content_sha256], done="Nothing was stored")
        raise
    except IntegrityError:
        same = HpfImage.objects.get(slide=slide, content_sha256=prepared.accepted.content_sha256)
        return _same(same)  # somebody else was adding the same file


def image_add(*, actor: User | None, slide: Slide, data: bytes, name: str, position: int | None = None) -> ImageAdded:
    """``image_prepare`` and ``image_store`` in one.

    The file is complete on disk before its row is written, so a kill leaves at most a file that the sweep removes.
    """
    require_live(slide.patient)
    return image_store(actor=actor, slide=slide, prepared=image_prepare(data, name), position=position)


@transaction.atomic
def _write_row(actor: User | None, slide: Slide, prepared: Prepared, position: int | None) -> ImageAdded:
    accepted = prepared.accepted
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").get(pk=slide.pk)
    require_live(slide.patient)
    content_lock(accepted.content_sha256)
    same = HpfImage.objects.filter(slide=slide, content_sha256=accepted.content_sha256).first()
    if same is not None:
        return _same(same)
    if not blobs().exists(accepted.content_sha256):
        blobs().put(accepted.content)  # a withdrawal elsewhere purged it between the two steps
    with transaction.atomic():
        image = HpfImage.objects.create(
            slide=slide, position=position or next_position(slide), content_sha256=accepted.content_sha256,
            received_sha256=accepted.received_sha256, format=accepted.format, width_px=accepted.width_px,
            height_px=accepted.height_px, size_bytes=len(accepted.content), phash=prepared.phash,
            notes=[asdict(note) for note in accepted.notes], uploaded_by=actor,
        )  # fmt: skip
        ImageOriginalName.objects.create(image=image, name=prepared.name[-500:])
    review_reset(slide.pk)
    audit_record(
        actor=actor, action="image.add", target=f"slide:{slide.pk}",
        data={"image": image.pk, "content_sha256": image.content_sha256},
    )  # fmt: skip
    return ImageAdded(image, created=True, warnings=duplicate_warnings(image))


def _same(image: HpfImage) -> ImageAdded:
    text = f"The identical image is field {image.position} of this slide already; it was not stored twice."
    return ImageAdded(image, created=False, warnings=(Note("W_DUPLICATE_SAME_SLIDE", text),))


def next_position(slide: Slide) -> int:
    return (HpfImage.objects.filter(slide=slide).aggregate(last=Max("position"))["last"] or 0) + 1


def duplicate_warnings(image: HpfImage) -> tuple[Note, ...]:
    """A warning for the same content in another slide of the patient, an alarm for another patient's."""
    others = (
        HpfImage.objects.filter(content_sha256=image.content_sha256, slide__patient__withdrawn_at=None)
        .exclude(slide_id=image.slide_id)
        .select_related("slide__patient")
    )
    notes = []
    for other in others:
        if other.slide.patient_id == image.slide.patient_id:
            text = f"The identical image is in slide {other.slide.code} of the same patient."
            notes.append(Note("W_DUPLICATE", text))
        else:
            text = f"The identical image is in slide {other.slide.code} of another patient, {other.slide.patient.code}."
            notes.append(Note("W_DUPLICATE_PATIENT", text))
    return tuple(notes)


@transaction.atomic
def images_move(*, actor: User, images: Sequence[HpfImage], slide: Slide, reason: str) -> int:
    """Put images behind the last one of the slide that they belong to, in their order. Returns how many moved.

    Raises
    ------
    DomainError
        No image or no reason given.
    Conflict
        A patient was withdrawn, an image is of another cohort or was moved meanwhile, or the slide has one of the
        images already.
    """
    require_reason(reason)
    if not images:
        raise DomainError("No field was chosen.", field="images", hint="Tick the fields to move.")
    chosen = HpfImage.objects.filter(pk__in=[image.pk for image in images])
    # The slides that they leave, too: a review that passes one in this moment would say that they are there.
    locked = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").order_by("pk")
    slides = {one.pk: one for one in locked.filter(pk__in={slide.pk, *chosen.values_list("slide_id", flat=True)})}
    if slide.pk not in slides:
        raise Conflict(f"Slide {slide.code} was removed meanwhile.", code="E_STALE", hint="Choose another slide.")
    slide = slides[slide.pk]
    require_live(slide.patient)
    rows = chosen.select_for_update(of=("self",)).exclude(slide=slide).select_related("slide__patient")
    moving = list(rows.order_by("position", "id"))
    if any(row.slide_id not in slides for row in moving):
        raise Conflict("Some of these fields were moved meanwhile.", code="E_STALE", hint="Look at the slide again.")
    if any(row.slide.patient.cohort_id != slide.patient.cohort_id for row in moving):
        raise Conflict(
            f"Slide {slide.code} is of another cohort.", field="slide",
            hint="A field moves inside of its cohort only: another cohort is another purpose. Remove it here and "
            "upload it there.",
        )  # fmt: skip
    here = HpfImage.objects.filter(slide=slide, content_sha256__in=[row.content_sha256 for row in moving])
    contents = [row.content_sha256 for row in moving]
    if here.exists() or len(set(contents)) < len(contents):
        raise Conflict(
            f"Slide {slide.code} has {here.count() or 'two'} of these fields already.", code="E_DUPLICATE",
            hint="Untick the fields that are there.",
        )  # fmt: skip
    start, moved = next_position(slide), []
    for offset, row in enumerate(moving):
        require_live(row.slide.patient)
        moved.append({"image": row.pk, "from": row.slide_id, "position": row.position})
        HpfImage.objects.filter(pk=row.pk).update(slide=slide, position=start + offset)
    if moved:
        review_reset(slide.pk, *{row["from"] for row in moved})
        audit_record(
            actor=actor, action="images.move", target=f"slide:{slide.pk}", reason=reason, data={"moved": moved}
        )
    return len(moved)
