"""Making and closing sorting tasks. The queues are dealt once, in one transaction, and never recomputed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from cases.consensus import ConsensusRule
from cases.dealing import OVERLAP, SPLIT, deal
from cases.models import Cohort, HpfImage, Patient, SortingItem, SortingSeat, SortingTask, Taxonomy
from cases.selectors.sorting import sortable_images
from cases.services.checks import require_valid, unique_or_conflict
from cases.services.taxonomies import taxonomy_ensure
from leukoweb.core.audit import audit_record, audit_record_each
from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import User
from leukoweb.core.permissions import has_action
from leukoweb.core.words import when_text

BATCH = 1000
Hiding = Callable[[User], Collection[int]]
_hidings: list[Hiding] = []


def register_hiding(hiding: Hiding) -> None:
    """For apps above, from their ``ready()``: ids of the patients whom a person may not see outside of reading."""
    if hiding not in _hidings:
        _hidings.append(hiding)


@dataclass(frozen=True)
class People:
    """Who takes part; nobody has two parts. A senior sorter sorts like the others."""

    sorters: Sequence[User]
    seniors: Sequence[User] = ()
    adjudicators: Sequence[User] = ()

    def parts(self) -> list[tuple[User, str]]:
        part = SortingSeat.Part
        groups = ((self.sorters, part.SORTER), (self.seniors, part.SENIOR), (self.adjudicators, part.ADJUDICATOR))
        return [(user, kind.value) for users, kind in groups for user in users]


@transaction.atomic
def task_create(
    *, actor: User | None, name: str, cohorts: Sequence[Cohort], people: People, taxonomy: Taxonomy,
    assignment: str = SortingTask.Assignment.ALL, overlap_percent: int = 100, instructions: str = "",
    adjudication: str = SortingTask.Adjudication.BLIND, rule: ConsensusRule | None = None, seed: int | None = None,
    only: Sequence[HpfImage] = (),
) -> SortingTask:  # fmt: skip
    """A task with its seats and their queues.

    Every image of a live patient that curation has not excluded is dealt; with ``only``, those of them. ``seed``
    reproduces the dealing and all orders; by default it is drawn.

    Raises
    ------
    DomainError
        No cohort, image or sorter, a person with two parts or without the right to sort, a share that makes no sense.
    Conflict
        The name is taken.
    """
    rule = rule or ConsensusRule()
    _require_people(people, assignment, rule)
    _require_reachable(people, assignment, overlap_percent, rule)
    if not cohorts:
        raise DomainError("Choose at least one cohort.", field="cohorts")
    images = dict(sortable_images(cohorts))
    if only:
        chosen = {image.pk for image in only}
        images = {public_id: pk for public_id, pk in images.items() if pk in chosen}
    if not images:
        names = ", ".join(cohort.name for cohort in cohorts)
        message = f"There is no image to sort in {names}."
        raise DomainError(message, field="cohorts", hint="Upload images, or choose another cohort.")
    _require_sight(people, cohorts, only)
    seed = secrets.randbits(62) if seed is None else seed
    task = SortingTask(
        name=name.strip(), taxonomy=taxonomy, assignment=assignment, overlap_percent=overlap_percent,
        adjudication=adjudication, consensus=rule.as_dict(), seed=seed, instructions=instructions.strip(),
        created_by=actor,
    )  # fmt: skip
    require_valid(task)
    with unique_or_conflict(f"There is a task named {task.name!r} already.", field="name"):
        task.save()
    task.cohorts.set(cohorts)
    _deal(task, people, images)
    audit_record(
        actor=actor, action="sorting.create", target=f"sorting:{task.pk}",
        data={
            "name": task.name, "cohorts": [cohort.pk for cohort in cohorts], "n_images": len(images),
            "only_chosen": bool(only),
            "taxonomy": str(taxonomy), "assignment": assignment, "overlap_percent": overlap_percent,
            "adjudication": adjudication, "consensus": task.consensus, "seed": str(seed),
            "seats": [[user.pk, part] for user, part in people.parts()],
        },
    )  # fmt: skip
    return task


def task_request(data: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `task_create` from ids and user names, as the API and the command line have them.

    ``cohorts`` are ids or names, ``taxonomy`` an id (the paper's if missing), people user names.
    """
    data = dict(data)
    cohorts = [_one(Cohort, "cohort", pk=x) if isinstance(x, int) else _one(Cohort, "cohort", name=x)
               for x in data.pop("cohorts")]  # fmt: skip
    people = People(*([_one(User, "user", username=name) for name in data.pop(group, [])] for group in _GROUPS))
    taxonomy = data.pop("taxonomy", None)
    chosen = taxonomy_ensure() if taxonomy is None else _one(Taxonomy, "taxonomy", pk=taxonomy)
    return {**data, "cohorts": cohorts, "people": people, "taxonomy": chosen}


_GROUPS = ("sorters", "seniors", "adjudicators")


def _one(model: Any, what: str, **by: Any) -> Any:
    found = model.objects.filter(**by).first()
    if found is None:
        raise NotFound(f"There is no {what} {next(iter(by.values()))!r}.", field=what)
    return found


def _require_people(people: People, assignment: str, rule: ConsensusRule) -> None:
    sorting = [*people.sorters, *people.seniors]
    if not sorting:
        raise DomainError("Choose at least one sorter.", field="sorters")
    if assignment == OVERLAP and len(sorting) < 2:
        raise DomainError("An overlap needs at least two sorters.", field="sorters")
    if rule.rule == "senior" and not people.seniors:
        raise DomainError("The rule 'senior' needs a senior sorter.", field="seniors")
    everybody = [user.pk for user, _ in people.parts()]
    for user, part in people.parts():
        field = f"{part}s"
        if everybody.count(user.pk) > 1:
            raise DomainError(f"{user} has two parts.", field=field, hint="An adjudicator is a third person.")
        if not has_action(user, "sorting.sort"):
            raise DomainError(f"{user} may not sort.", field=field, hint="Choose an active pathologist.")


def _require_reachable(people: People, assignment: str, overlap_percent: int, rule: ConsensusRule) -> None:
    """Every image can get as many decisions, and every dispute as many adjudicators, as the rule asks for."""
    n_sorting = len(people.sorters) + len(people.seniors)
    at_least = {SPLIT: 1, OVERLAP: 2 if overlap_percent >= 100 else 1}.get(assignment, n_sorting)
    if rule.min_decisions > at_least:
        some = "some images have" if assignment == OVERLAP and at_least == 1 else "each image has"
        raise DomainError(
            f"Dealt like this {some} {'one sorter' if at_least == 1 else f'{at_least} sorters'}, but "
            f"{rule.min_decisions} decisions are asked for: those images would stay open for good.",
            field="min_decisions",
            hint="Ask for fewer, deal each image to more people, or give 0 (all who have the image).",
        )
    if rule.panel_min > max(1, len(people.adjudicators)):
        n = len(people.adjudicators)
        raise DomainError(
            f"{rule.panel_min} adjudicators must decide, but {n or 'none'} {'is' if n < 2 else 'are'} chosen: no "
            "dispute could ever be settled.",
            field="panel_min", hint="Choose more adjudicators, or ask for fewer.",
        )  # fmt: skip


def _require_sight(people: People, cohorts: Sequence[Cohort], only: Sequence[HpfImage]) -> None:
    """Nobody is dealt patients who are hidden from that person: the queue could never be finished."""
    patients = Patient.objects.filter(cohort__in=cohorts)
    if only:
        patients = patients.filter(pk__in={image.slide.patient_id for image in only})
    for user, part in people.parts():
        hidden = {patient for hiding in _hidings for patient in hiding(user)}
        if hidden and patients.filter(pk__in=hidden).exists():
            raise DomainError(
                f"{user} reads some of these patients in a study that is not unblinded.", field=f"{part}s",
                hint="Choose somebody else, or other cohorts.",
            )  # fmt: skip


def _deal(task: SortingTask, people: People, images: dict[str, int]) -> None:
    """Seats for everybody, queues for those who sort. A seat's seed follows from the task's and its place."""
    seats = [
        SortingSeat(task=task, user=user, part=part, seed=(task.seed + 7919 * number) % 2**62)
        for number, (user, part) in enumerate(people.parts(), start=1)
    ]
    SortingSeat.objects.bulk_create(seats)
    sorting = [seat for seat in seats if seat.part != SortingSeat.Part.ADJUDICATOR]
    hands = deal(
        list(images), [seat.seed for seat in sorting], assignment=task.assignment,
        overlap_percent=task.overlap_percent, seed=task.seed,
    )  # fmt: skip
    items = [
        SortingItem(seat=seat, image_id=images[image], position=position)
        for seat, hand in zip(sorting, hands, strict=True)
        for position, image in enumerate(hand, start=1)
    ]
    SortingItem.objects.bulk_create(items, batch_size=BATCH)


@transaction.atomic
def task_close(*, actor: User, task: SortingTask) -> SortingTask:
    """Nobody decides any more. A decision that is on its way is either counted before, or refused."""
    # Deciding holds the lock of its own seat, so holding all of them means that nobody is in the middle of it.
    list(SortingSeat.objects.select_for_update().filter(task=task).order_by("pk"))
    task = SortingTask.objects.select_for_update().get(pk=task.pk)
    if task.closed_at is not None:
        raise Conflict(f"The task was closed on {when_text(task.closed_at)}.")
    task.closed_at = timezone.now()
    task.save(update_fields=["closed_at"])
    audit_record(actor=actor, action="sorting.close", target=f"sorting:{task.pk}")
    return task


@transaction.atomic
def seat_stop(*, actor: User, seat: SortingSeat, reason: str) -> SortingSeat:
    """A person leaves: what they decided stays and counts, what they did not is no longer waited for."""
    if not reason.strip():
        raise DomainError("A reason is needed.", field="reason", hint="It is kept with the record.")
    seat = SortingSeat.objects.select_for_update().get(pk=seat.pk)
    if not seat.active:
        raise Conflict("This person has left already.")
    _stop(actor, [seat], reason.strip())
    return seat


@transaction.atomic
def role_changed(*, actor: User | None, user: User, reason: str = "") -> int:
    """Whoever gets another role leaves the open tasks. Returns how many places were stopped.

    One role sorts, and only it is kept from the patients meanwhile: as any other the person may have looked at all
    that is still to be decided, and is no independent sorter on coming back.
    """
    seats = SortingSeat.objects.select_for_update(of=("self",)).filter(user=user, active=True, task__closed_at=None)
    why = f"the sorter became {user.get_role_display().lower()}" + (f": {reason}" if reason else "")
    return _stop(actor, list(seats.order_by("pk")), why)


def _stop(actor: User | None, seats: Sequence[SortingSeat], reason: str) -> int:
    for seat in seats:
        seat.active = False
        seat.save(update_fields=["active"])
    entries = [(f"sorting:{seat.task_id}", {"seat": seat.pk, "user": seat.user_id}) for seat in seats]
    if entries:
        audit_record_each(actor=actor, action="sorting.seat_stop", entries=entries, reason=reason)
    return len(seats)
