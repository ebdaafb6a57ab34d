"""What a sorter's board and an adjudicator's board show: random ids and neutral numbers, nothing of other people.

Slides are numbered and cameras lettered in the order in which they first appear in the person's own random queue, so
neither number nor letter says anything about a code or a class.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db.models import OuterRef, QuerySet
from django.utils.crypto import constant_time_compare

from cases.consensus import CLEARED, DISPUTED
from cases.dealing import shuffled
from cases.models import (
    AdjudicationDecision,
    HpfImage,
    Patient,
    Slide,
    SortingDecision,
    SortingItem,
    SortingSeat,
    SortingTask,
)
from cases.selectors.sorting import SORTING_PARTS, adjudications_of, consensus_for_task, rule_of
from leukoweb.core.columns import UuidText, count_of
from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User


class Entry(NamedTuple):
    """An image of a board with what its owner last said of it (``key`` None: nothing yet). A tuple: there are many."""

    image: str
    slide: int
    camera: int
    verdict: str = ""
    label: str = ""
    reason: str = ""
    key: str | None = None
    said: tuple[tuple[str, str, str], ...] = ()

    def as_row(self) -> tuple[Any, ...]:
        """Compact JSON: a queue of thousands travels in one answer."""
        return tuple(self) if self.said else self[:-1]


def seat_get(user: User, task_id: uuid.UUID) -> SortingSeat:
    """The person's own active seat in a task; 404 for everybody else's. 1 query."""
    seats = SortingSeat.objects.filter(user=user, task__public_id=task_id, active=True)
    seat = seats.select_related("task__taxonomy", "user").first()
    if seat is None:
        raise NotFound("There is no such sorting task for you.", hint="Go back to the list of tasks.")
    return seat


def seat_owner(seat: SortingSeat) -> str:
    """Names a seat in the browser: whose board a page is, and whose decisions wait there. Tells nothing by itself.

    Stored, so that decisions that wait in a browser outlive a new SECRET_KEY.
    """
    return seat.board


def owns_board(user: User, task_id: uuid.UUID, owner: str) -> bool:
    """Whether the board that calls itself ``owner`` is this person's, stopped seats included. 1 query."""
    seats = SortingSeat.objects.filter(user=user, task__public_id=task_id)
    return any(constant_time_compare(seat_owner(seat), owner) for seat in seats)


def seats_of(user: User, *, open_only: bool = False) -> QuerySet[SortingSeat]:
    """The person's seats with ``n_items`` and ``n_decided``, open tasks first. 1 query.

    How long one's own queue is and how far one got is counted past the blindfold, which hides its patients elsewhere.
    """
    seats = SortingSeat.objects.filter(user=user, active=True).select_related("task")
    if open_only:
        seats = seats.filter(task__closed_at=None)
    counts = {"n_items": _items(seat=OuterRef("pk")), "n_decided": _decided(seat=OuterRef("pk"))}
    return seats.annotate(**counts).order_by("task__closed_at", "-task_id")


def seats_that_would_end(*, user: User, role: str) -> list[str]:
    """``the place in the sorting task “Task” (3 of 12 decided)`` for each that any other role ends. 1 query."""
    words = []
    for seat in seats_of(user, open_only=True) if role != user.role else ():
        settles = seat.part == SortingSeat.Part.ADJUDICATOR
        how_far = "as adjudicator" if settles else f"{seat.n_decided} of {seat.n_items} decided"  # type: ignore[attr-defined]
        words.append(f"the place in the sorting task “{seat.task}” ({how_far})")
    return words


def _gone(**whose: Any) -> QuerySet[SortingItem]:
    """Items of withdrawn patients, whom no queue shows any more.

    Lists inside lists, from the few withdrawn patients outwards; as a join every item's patient was looked up.
    """
    slides = Slide._base_manager.filter(patient__in=Patient._base_manager.filter(withdrawn_at__isnull=False))
    return SortingItem._base_manager.filter(**whose, image__in=HpfImage._base_manager.filter(slide__in=slides))


def _items(**whose: Any) -> Any:
    return count_of(SortingItem._base_manager.filter(**whose)) - count_of(_gone(**whose))


def _decided(**whose: Any) -> Any:
    """Items with a verdict, less those whose verdict was taken back: few, found from the decisions of the same seat."""
    given = SortingItem._base_manager.filter(**whose, current__isnull=False)
    back = {f"current__{path}": value for path, value in whose.items()}
    gone = _gone(**whose, current__isnull=False).exclude(current__verdict="cleared")
    taken_back = SortingItem._base_manager.filter(**back, current__verdict="cleared")
    return count_of(given) - count_of(taken_back) - count_of(gone)


def queue_of(seat: SortingSeat) -> list[Entry]:
    """A sorter's queue in its stored order, images of live patients only. 1 query."""
    rows = SortingItem.objects.filter(seat=seat, image__slide__patient__withdrawn_at=None).order_by("position")
    fields = (UuidText("image__public_id"), "image__slide_id", "image__slide__device_id", "current__verdict",
              "current__label", "current__reason", UuidText("current__key"))  # fmt: skip
    slides, cameras = _Numbers(), _Numbers()
    return [
        Entry(image, slides[slide], cameras[camera], verdict or "", label or "", reason or "", key)
        for image, slide, camera, verdict, label, reason, key in rows.values_list(*fields)
    ]


class _Numbers(dict[Any, int]):
    """1, 2, 3, ... in the order of first appearance."""

    def __missing__(self, key: Any) -> int:
        self[key] = len(self) + 1
        return self[key]


def disputed_images(task: SortingTask) -> set[int]:
    """Images on which the sorters disagree, settled or not. 2 queries."""
    rule = rule_of(task)
    found = consensus_for_task(task, rule, adjudicated=False)
    return {image for image, consensus in found.items() if consensus.verdict == DISPUTED}


def disputes_of(seat: SortingSeat) -> tuple[list[Entry], set[int]]:
    """An adjudicator's queue in their own stored order, and the patients in it. 5 queries.

    The sorters' verdicts come along only where the task's adjudication is open, under letters that change from image
    to image. An image stays in the queue once it was settled, so that it can be looked at again.
    """
    task = seat.task
    mine: dict[int, AdjudicationDecision] = {}
    for row in AdjudicationDecision.objects.filter(seat=seat).order_by("pk"):
        mine[row.image_id] = row
    wanted = disputed_images(task) | set(mine)
    images = {
        str(image.public_id): image
        for image in HpfImage.objects.filter(pk__in=wanted, slide__patient__withdrawn_at=None).select_related("slide")
    }
    said = _said(task, wanted) if task.adjudication == SortingTask.Adjudication.OPEN else {}
    slides, cameras = _Numbers(), _Numbers()
    entries = []
    for public_id in shuffled(list(images), seat.seed):
        image = images[public_id]
        own = mine.get(image.pk)
        entry = Entry(public_id, slides[image.slide_id], cameras[image.slide.device_id])
        if own:
            entry = entry._replace(verdict=own.verdict, label=own.label, reason=own.reason, key=str(own.key))
        entries.append(entry._replace(said=said.get(image.pk, ())))
    return entries, {image.slide.patient_id for image in images.values()}


def _said(task: SortingTask, images: set[int]) -> dict[int, tuple[tuple[str, str, str], ...]]:
    """Image -> (letter, verdict, label) of each sorter, ordered by what was said, not by who said it. 1 query."""
    rows = SortingItem.objects.filter(seat__task=task, image__in=images, current__isnull=False)
    words: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for image, verdict, label in rows.values_list("image_id", "current__verdict", "current__label"):
        if verdict != "cleared":
            words[image].append((verdict, label))
    return {
        image: tuple((chr(65 + n), *one) for n, one in enumerate(sorted(several))) for image, several in words.items()
    }


def history_of(seat: SortingSeat) -> list[list[Any]]:
    """Every decision of the person in order: [key, image, verdict, label, reason, origin]. 1 query.

    Undo works back through it to any depth, also after the browser was closed.
    """
    model = AdjudicationDecision if seat.part == SortingSeat.Part.ADJUDICATOR else SortingDecision
    rows = model.objects.filter(seat=seat, image__slide__patient__withdrawn_at=None).order_by("pk")
    fields = ("key", "image__public_id", "verdict", "label", "reason", "origin")
    return [[str(key), str(image), *words] for key, image, *words in rows.values_list(*fields)]


def task_list() -> QuerySet[SortingTask]:
    """All tasks with ``n_seats``, ``n_items`` and ``n_decided`` over all sorters, for staff. 1 query."""
    tasks = SortingTask.objects.select_related("taxonomy", "created_by").order_by("-pk")
    return tasks.annotate(  # no join with the seats: every count would be asked for each of them
        n_seats=count_of(SortingSeat._base_manager.filter(task=OuterRef("pk"), part__in=SORTING_PARTS)),
        n_items=_items(seat__task=OuterRef("pk")),
        n_decided=_decided(seat__task=OuterRef("pk")),
    )


def task_get(public_id: uuid.UUID) -> SortingTask:
    task = SortingTask.objects.select_related("taxonomy", "created_by").filter(public_id=public_id).first()
    if task is None:
        raise NotFound("There is no such sorting task.", hint="Go back to the list of tasks.")
    return task


def seat_progress(task: SortingTask) -> QuerySet[SortingSeat]:
    """Everybody's place with how far they are, for staff. 1 query."""
    return (
        SortingSeat.objects.filter(task=task)
        .select_related("user")
        .annotate(
            n_items=_items(seat=OuterRef("pk")),
            n_decided=_decided(seat=OuterRef("pk")),
        )
        .order_by("pk")
    )


def seats_settling(task: SortingTask, disputed: Collection[int]) -> list[SortingSeat]:
    """Those of ``seat_progress`` with ``n_settled``: how many ``disputed`` images they gave a verdict. 2 queries."""
    settled: Counter[int] = Counter()
    for image, votes in adjudications_of(task).items():
        if image in disputed:
            settled.update(seat for seat, one in votes.items() if one.verdict != CLEARED)
    seats = list(seat_progress(task))
    for seat in seats:
        seat.n_settled = settled[seat.pk]  # type: ignore[attr-defined]
    return seats


def seats_not_through(task: SortingTask) -> list[SortingSeat]:
    """Those of ``seat_progress`` who still sort and have images left. 1 query."""
    sorters = seat_progress(task).filter(active=True, part__in=SORTING_PARTS)
    return [seat for seat in sorters if seat.n_decided < seat.n_items]  # type: ignore[attr-defined]
