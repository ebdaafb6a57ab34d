"""Deciding: what a sorter or an adjudicator says of images, kept for good, each key press once."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from cases.consensus import CLEARED, EXCLUDE, LABEL, VERDICTS
from cases.models import AdjudicationDecision, HpfImage, SortingDecision, SortingItem, SortingSeat, SortingTask
from cases.services.exposures import exposures_record
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed, NotFound
from leukoweb.core.models import User
from leukoweb.core.words import when_text

MAX_DECISIONS = 500
MAX_REASON = 300
MAX_PREFERENCES = 8192


@dataclass(frozen=True)
class Decision:
    """One verdict as the browser sends it.

    ``key`` makes it idempotent. ``seen`` is the key of the decision that the person saw on this image when deciding
    (None: undecided); if another one stands there now, nothing is written and both are shown.
    """

    image: uuid.UUID
    key: uuid.UUID
    verdict: str
    label: str = ""
    reason: str = ""
    seen: uuid.UUID | None = None
    origin: str = SortingDecision.Origin.KEY
    shown_ms: int | None = None


@dataclass(frozen=True)
class Saved:
    """``n_new`` rows were written, ``n_known`` had been before; ``gone`` belong to patients withdrawn meanwhile."""

    n_new: int
    n_known: int
    gone: list[uuid.UUID] = field(default_factory=list)


class Stale(Conflict):
    """Another window of the same person decided these images meanwhile."""

    code = "E_STALE"

    def __init__(self, conflicts: list[dict[str, Any]]) -> None:
        super().__init__(
            f"{len(conflicts)} of these images were decided in another window meanwhile.",
            hint="Choose which decision stays.",
        )
        self.conflicts = conflicts

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "conflicts": self.conflicts}


class TaskClosed(Conflict):
    code = "E_CLOSED"


@transaction.atomic
def decisions_save(*, actor: User, seat: SortingSeat, decisions: Sequence[Decision]) -> Saved:
    """Write a sorter's decisions in the order given, all or none.

    A decision whose image and key are known is counted as saved and changes nothing. One audit event holds their
    number and hash. Every patient decided about becomes one that this person cannot read blinded.

    Raises
    ------
    Stale
        With ``conflicts``: what stands on the image now, per image.
    TaskClosed, NotAllowed, NotFound, DomainError
        The task is closed; somebody else's seat; an image of another queue; a verdict that makes no sense.
    """
    seat, task = _open_seat(actor, seat, decisions)
    if seat.part == SortingSeat.Part.ADJUDICATOR:
        raise NotAllowed("An adjudicator does not sort.", hint="Open the disagreement queue.")
    ids = {one.image for one in decisions}
    items = {
        item.image.public_id: item
        for item in SortingItem.objects.filter(seat=seat, image__public_id__in=ids).select_related(
            "image__slide__patient", "current"
        )
    }
    known = set(
        SortingDecision.objects.filter(seat=seat, key__in={one.key for one in decisions}).values_list("image", "key")
    )
    current = {image: item.current for image, item in items.items()}
    new = _choose(decisions, {image: item.image for image, item in items.items()}, known, current)
    rows = [
        SortingDecision(
            seat=seat, image=items[one.image].image, key=one.key, verdict=one.verdict, label=one.label,
            reason=one.reason, origin=one.origin, shown_ms=one.shown_ms,
        )
        for one in new.rows
    ]  # fmt: skip
    SortingDecision.objects.bulk_create(rows)
    for row in rows:
        items[row.image.public_id].current = row
    changed = [items[image] for image in {row.image.public_id for row in rows}]
    SortingItem.objects.bulk_update(changed, ["current"])
    if rows:
        seat.last_item = items[rows[-1].image.public_id].position
        seat.save(update_fields=["last_item"])
    _record(actor, "sorting.decide", task, seat, rows)
    return Saved(len(rows), len(decisions) - len(rows) - len(new.gone), new.gone)


@transaction.atomic
def adjudications_save(*, actor: User, seat: SortingSeat, decisions: Sequence[Decision]) -> Saved:
    """Write an adjudicator's decisions; the sorters' own stay as they are. As `decisions_save` in all else."""
    seat, task = _open_seat(actor, seat, decisions)
    if seat.part != SortingSeat.Part.ADJUDICATOR:
        raise NotAllowed("Only an adjudicator of this task settles disagreements.")
    ids = {one.image for one in decisions}
    images = {
        image.public_id: image
        for image in HpfImage.objects.filter(public_id__in=ids, pk__in=_sorted_images(task)).select_related(
            "slide__patient"
        )
    }
    known = set(AdjudicationDecision.objects.filter(seat=seat, image__in=images.values()).values_list("image", "key"))
    current: dict[uuid.UUID, Any] = dict.fromkeys(images)
    for row in AdjudicationDecision.objects.filter(seat=seat, image__in=images.values()).select_related("image"):
        current[row.image.public_id] = row
    new = _choose(decisions, images, known, current)
    rows = [
        AdjudicationDecision(
            task=task, seat=seat, image=images[one.image], key=one.key, verdict=one.verdict, label=one.label,
            reason=one.reason, origin=one.origin, shown_ms=one.shown_ms,
            blind=task.adjudication == SortingTask.Adjudication.BLIND,
        )
        for one in new.rows
    ]  # fmt: skip
    AdjudicationDecision.objects.bulk_create(rows)
    _record(actor, "sorting.adjudicate", task, seat, rows)
    return Saved(len(rows), len(decisions) - len(rows) - len(new.gone), new.gone)


def _sorted_images(task: SortingTask) -> Any:
    return SortingItem.objects.filter(seat__task=task).values("image")


def _open_seat(actor: User, seat: SortingSeat, decisions: Sequence[Decision]) -> tuple[SortingSeat, SortingTask]:
    """The seat under its lock and the task as it is now; the lock is what closing a task waits for."""
    if not 1 <= len(decisions) <= MAX_DECISIONS:
        raise DomainError(f"{len(decisions)} decisions came; 1 to {MAX_DECISIONS} can be saved at once.")
    # First, as a change of role does, which stops the seat; not its key, which events and seats of others refer to.
    User.objects.select_for_update(no_key=True).get(pk=actor.pk)
    seat = SortingSeat.objects.select_for_update().get(pk=seat.pk)
    task = SortingTask.objects.select_related("taxonomy").get(pk=seat.task_id)
    if seat.user_id != actor.pk or not seat.active:
        raise NotAllowed("This is not your place (any more).", hint="Ask who made the task.")
    if task.closed_at is not None:
        raise TaskClosed(f"The task {task} was closed on {when_text(task.closed_at)}.")
    names = {label["name"] for label in task.taxonomy.labels}
    for one in decisions:
        _require_sense(one, names)
    return seat, task


def _require_sense(one: Decision, labels: set[str]) -> None:
    if one.verdict not in VERDICTS or (one.verdict == LABEL) != bool(one.label):
        raise DomainError(f"{one.verdict!r} with the label {one.label!r} is not a verdict.", field="verdict")
    if one.label and one.label not in labels:
        raise DomainError(f"The taxonomy of this task has no label {one.label!r}.", code="E_CLASS", field="label")
    if one.verdict == EXCLUDE and not one.reason.strip():
        raise DomainError("Excluding an image needs a reason.", field="reason")
    if len(one.reason) > MAX_REASON:
        raise DomainError(f"The reason is longer than {MAX_REASON} characters.", field="reason")
    if one.origin not in SortingDecision.Origin.values or one.origin == SortingDecision.Origin.IMPORT:
        raise DomainError(f"{one.origin!r} is not a way to decide.", field="origin")


@dataclass(frozen=True)
class _Chosen:
    rows: list[Decision]
    gone: list[uuid.UUID]


def _choose(
    decisions: Sequence[Decision], images: dict[uuid.UUID, HpfImage], known: set[tuple[int, uuid.UUID]],
    current: dict[uuid.UUID, Any],
) -> _Chosen:  # fmt: skip
    """Which decisions are new. Each must have seen what stands there, the earlier ones of this batch included."""
    standing = {image: row.key if row else None for image, row in current.items()}
    rows: list[Decision] = []
    gone: dict[uuid.UUID, None] = {}
    conflicts: dict[uuid.UUID, dict[str, Any]] = {}
    for one in decisions:
        image = images.get(one.image)
        if image is None:
            raise NotFound("An image is not in your queue.", code="E_QUEUE", hint="Reload the page.", field="image")
        if image.slide.patient.withdrawn_at is not None:
            gone[one.image] = None
        elif (image.pk, one.key) in known:
            continue
        elif standing[one.image] != one.seen:
            conflicts.setdefault(one.image, _standing(one.image, current[one.image]))
        else:
            rows.append(one)
            known.add((image.pk, one.key))
            standing[one.image] = one.key
    if conflicts:
        raise Stale(list(conflicts.values()))
    return _Chosen(rows, list(gone))


def _standing(image: uuid.UUID, row: Any) -> dict[str, Any]:
    """What stands on an image, in the words of the API."""
    return {
        "image": str(image),
        "key": str(row.key) if row else None,
        "verdict": row.verdict if row else CLEARED,
        "label": row.label if row else "",
        "reason": row.reason if row else "",
    }


def decisions_sha256(rows: Iterable[Any]) -> str:
    """Hash of decision rows in order of id, as it stands in the audit trail."""
    body = [[row.image_id, str(row.key), row.verdict, row.label, row.reason, row.origin] for row in rows]
    return hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()


def _record(actor: User, action: str, task: SortingTask, seat: SortingSeat, rows: Sequence[Any]) -> None:
    """One event per request that wrote something, and the exposures of the patients."""
    if not rows:
        return
    exposures_record(actor, {row.image.slide.patient_id for row in rows}, "label")
    audit_record(
        actor=actor, action=action, target=f"sorting:{task.pk}",
        data={
            "seat": seat.pk, "n": len(rows), "first": min(row.pk for row in rows), "last": max(row.pk for row in rows),
            "sha256": decisions_sha256(sorted(rows, key=lambda row: row.pk)),
        },
    )  # fmt: skip


@transaction.atomic
def seat_remember(
    *, actor: User, seat: SortingSeat, position: int | None = None, preferences: dict[str, Any] | None = None
) -> SortingSeat:
    """Where the person is in the queue, and how they like the board. No record: it decides nothing."""
    seat = SortingSeat.objects.select_for_update().get(pk=seat.pk)
    if seat.user_id != actor.pk:
        raise NotAllowed("This is not your place.")
    if position is not None:
        seat.last_item = position
    if preferences is not None:
        if len(json.dumps(preferences)) > MAX_PREFERENCES:
            raise DomainError(f"The preferences are longer than {MAX_PREFERENCES} characters.", field="preferences")
        seat.preferences = preferences
    seat.save(update_fields=["last_item", "preferences"])
    return seat
