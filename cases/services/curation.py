"""Curation: measuring quality, taking images out and in again, settling duplicates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Q

from cases import text_hint
from cases.imaging import decode
from cases.models import Cohort, DuplicateSettlement, Exclusion, HpfImage, ImageQuality, TextHint
from cases.quality import MEASURE_VERSION, measure
from cases.selectors.curation import contents_unmeasured
from cases.selectors.duplicates import outcomes_open
from cases.stripped import ImageRefused
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User
from leukoweb.core.storage import blobs

Outcome = DuplicateSettlement.Outcome
MANY = 5_000


def measure_request(*, actor: User | None, cohort: Cohort | None = None) -> Job | None:
    """Queue the measuring of what was not measured yet; None if there is nothing. The caller rings."""
    cohorts = None if cohort is None else [cohort]
    waiting = len(contents_unmeasured(cohorts))
    if not waiting:
        return None
    where = cohort.name if cohort else "every cohort"
    return job_create(
        kind="cases.measure", title=f"Measure the quality of {waiting} images of {where}", actor=actor,
        payload={"cohort": cohort.pk if cohort else None}, key=f"cases.measure:{cohort.pk if cohort else 'all'}",
        total_units=waiting,
    )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What was found in one image; nothing is saved yet. ``text`` is None where the extra [deid] is not installed."""

    quality: ImageQuality
    text: list[dict[str, float]] | None


def content_measure(sha256: str, *, text: bool = True) -> Measured:
    """Measure one stored image: the slow half. Looking for ``text`` takes longer than all the rest."""
    image = decode(blobs().read(sha256))
    found = measure(image).as_fields()
    return Measured(
        ImageQuality(content_sha256=sha256, measure_version=MEASURE_VERSION, **found),
        text_hint.find_text(image) if text else None,
    )


def content_try(sha256: str, *, text: bool = True) -> Measured | None:
    """As `content_measure`; None where the stored file is missing or damaged, which stops no other file's turn."""
    try:
        return content_measure(sha256, text=text)
    except (NotFound, OSError, ImageRefused):
        return None


def quality_store(measured: Measured) -> None:
    """Save what was found; the same content measured twice at once is stored once."""
    sha256 = measured.quality.content_sha256
    with contextlib.suppress(IntegrityError), transaction.atomic():
        measured.quality.save(force_insert=True)
    if measured.text is not None:
        TextHint.objects.get_or_create(
            content_sha256=sha256, version=text_hint.VERSION, defaults={"boxes": measured.text}
        )


def contents_measure(
    contents: Iterable[str], tell: Callable[[int], None] = lambda n: None, *, text: bool = True
) -> int:
    """Measure and store, here and now; for commands. Returns how many; the others are missing or damaged."""
    measured = 0
    for n, sha256 in enumerate(contents, start=1):
        if (found := content_try(sha256, text=text)) is not None:
            quality_store(found)
            measured += 1
        tell(n)
    return measured


@transaction.atomic
def images_exclude(
    *, actor: User | None, images: Sequence[HpfImage], reason: str, note: str = "", excluded: bool = True
) -> int:
    """Take images out of curation, or in again, with one reason for all. Returns how many changed.

    An image that is already out for the same reason, or in already, is left alone.

    Raises
    ------
    DomainError
        No image chosen, too many, an unknown reason, or "other" without a note.
    """
    if not images:
        raise DomainError("No image was chosen.", field="images", hint="Tick at least one image.")
    if len(images) > MANY:
        raise DomainError(f"{len(images)} images at once are too many; the limit is {MANY}.", field="images")
    if reason not in Exclusion.Reason.values:
        known = ", ".join(Exclusion.Reason.values)
        raise DomainError(f"{reason[:40]!r} is not a reason.", field="reason", hint=f"Choose one of {known}.")
    note = note.strip()
    if len(note) > 300:
        raise DomainError(f"The note has {len(note)} characters; the limit is 300.", field="note")
    if excluded and reason == Exclusion.Reason.OTHER and not note:
        raise DomainError("Say what the other reason is.", field="note", hint="Write it as the note.")
    ids = [image.pk for image in images]
    newest: dict[int, Exclusion] = {row.image_id: row for row in Exclusion.objects.filter(image__in=ids).order_by("pk")}
    changing = [pk for pk in ids if _changes(newest.get(pk), excluded, reason)]
    Exclusion.objects.bulk_create(
        Exclusion(image_id=pk, excluded=excluded, reason=reason, note=note, decided_by=actor) for pk in changing
    )
    if changing:
        audit_record(
            actor=actor, action="images.exclude" if excluded else "images.include", target="curation", reason=note,
            data={"reason": reason, "images": changing},
        )  # fmt: skip
    return len(changing)


def _changes(now: Exclusion | None, excluded: bool, reason: str) -> bool:
    is_out = now is not None and now.excluded
    return (not is_out or (now is not None and now.reason != reason)) if excluded else is_out


@transaction.atomic
def duplicate_settle(
    *, actor: User | None, first: HpfImage, second: HpfImage, outcome: str, note: str = ""
) -> DuplicateSettlement:
    """Decide about two images that look the same; an image that is not kept is excluded as a duplicate.

    The newest settlement counts: what the one before took out and this one keeps comes back, unless another pair
    still drops it, or it is out for another reason by now. One that was out before it was a duplicate is out for that
    reason again. Two images with identical bytes cannot be settled as
    different fields.

    Raises
    ------
    DomainError
        The same image twice, an unknown outcome, one that `outcomes_open` has not, or no note for a pair of two
        patients (one of them has, or had, a picture of somebody else).
    """
    if first.pk == second.pk:
        raise DomainError("An image is no duplicate of itself.", field="second")
    if first.pk > second.pk:
        first, second = second, first
        outcome = {Outcome.KEEP_FIRST: Outcome.KEEP_SECOND, Outcome.KEEP_SECOND: Outcome.KEEP_FIRST}.get(
            Outcome(outcome) if outcome in Outcome.values else Outcome.DROP_BOTH, outcome
        )  # fmt: skip
    if outcome not in Outcome.values:
        raise DomainError(f"{outcome[:40]!r} is not an outcome.", field="outcome")
    if outcome not in (allowed := outcomes_open(first, second)):
        if outcome == Outcome.KEEP_BOTH:
            hint = "Keep one of them, or neither." if len(allowed) > 2 else "Keep the external one, or neither."
            raise DomainError("The two images have identical bytes, so they are one field.", field="outcome", hint=hint)
        raise DomainError(
            "One of the images is of a cohort for external validation, and what such a cohort shows is never trained "
            "on: the other one has to go.", field="outcome",
            hint="Keep the external one, or neither. If it is not its slide's own, remove it from that slide.",
        )  # fmt: skip
    note = note.strip()[:300]
    if first.slide.patient_id != second.slide.patient_id and not note:
        raise DomainError(
            "Say why: the two images belong to two patients.", field="note",
            hint="Such as which slide the field was really taken from, and how you know.",
        )  # fmt: skip
    before = _dropped(DuplicateSettlement.objects.filter(first=first, second=second).order_by("pk").last())
    row = DuplicateSettlement.objects.create(first=first, second=second, outcome=outcome, note=note, decided_by=actor)
    dropped = [image for image in (first, second) if image.pk in _dropped(row)]
    again = [image for image in (first, second) if image.pk in before - _dropped(row) and _no_pair_drops(image)]
    duplicate = Exclusion.Reason.DUPLICATE
    if dropped:
        images_exclude(actor=actor, images=dropped, reason=duplicate, note=note)
    for image in again:
        if (earlier := _out_before(image)) is not None:
            images_exclude(actor=actor, images=[image], reason=earlier.reason, note=earlier.note)
        else:
            images_exclude(actor=actor, images=[image], reason=duplicate, note=note or "Settled anew.", excluded=False)
    audit_record(
        actor=actor, action="duplicate.settle", target="curation", reason=note,
        data={"first": first.pk, "second": second.pk, "outcome": outcome},
    )  # fmt: skip
    return row


def _dropped(row: DuplicateSettlement | None) -> set[int]:
    """The images that a settlement does not keep."""
    if row is None:
        return set()
    return {
        Outcome.KEEP_FIRST: {row.second_id}, Outcome.KEEP_SECOND: {row.first_id},
        Outcome.DROP_BOTH: {row.first_id, row.second_id},
    }.get(Outcome(row.outcome), set())  # fmt: skip


def _no_pair_drops(image: HpfImage) -> bool:
    """Whether the image is out as a duplicate while no settlement in force drops it any more."""
    newest = Exclusion.objects.filter(image=image).order_by("-pk").first()
    if newest is None or not newest.excluded or newest.reason != Exclusion.Reason.DUPLICATE:
        return False
    rows = DuplicateSettlement.objects.filter(Q(first=image) | Q(second=image)).order_by("pk")
    in_force = {(row.first_id, row.second_id): row for row in rows}
    return not any(image.pk in _dropped(row) for row in in_force.values())


def _out_before(image: HpfImage) -> Exclusion | None:
    """Why the image was out when a settlement took it out as a duplicate; None if it was in."""
    rows = Exclusion.objects.filter(image=image).exclude(excluded=True, reason=Exclusion.Reason.DUPLICATE)
    before = rows.order_by("-pk").first()
    return before if before is not None and before.excluded else None


def images_by_public_id(ids: Sequence[str]) -> list[HpfImage]:
    """The images of these random ids, of live patients; raises `NotFound` if one is missing."""
    rows = HpfImage.objects.filter(public_id__in=ids, slide__patient__withdrawn_at=None)
    found = list(rows.select_related("slide__patient"))
    if len(found) < len(set(ids)):
        raise NotFound("Some of the chosen images are not there (any more).", hint="Load the list again.")
    return found
