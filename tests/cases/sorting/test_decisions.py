"""Deciding: once per key press, in order, never over somebody else's or another window's, always on record."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from cases.models import (
    AdjudicationDecision,
    Cohort,
    Exposure,
    HpfImage,
    SortingDecision,
    SortingItem,
    SortingSeat,
    SortingTask,
)
from cases.selectors.sorting_queue import disputes_of, history_of, queue_of
from cases.services.sorting import (
    Decision,
    Stale,
    TaskClosed,
    adjudications_save,
    decisions_save,
    decisions_sha256,
    seat_remember,
)
from cases.services.sorting_tasks import People, task_close, task_create
from cases.services.taxonomies import taxonomy_ensure
from leukoweb.core.audit import chain_verify
from leukoweb.core.exceptions import DomainError, NotAllowed, NotFound
from leukoweb.core.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(training: Cohort, images: list[HpfImage], sorters: list[Any]) -> SortingTask:
    return task_create(
        actor=None, name="T", cohorts=[training], people=People(sorters[:2], [], sorters[2:]),
        taxonomy=taxonomy_ensure(), seed=1,
    )  # fmt: skip


@pytest.fixture
def seats(task: SortingTask) -> list[SortingSeat]:
    return list(task.seats.order_by("pk"))


def say(image: HpfImage, label: str = "AML", **more: Any) -> Decision:
    verdict = more.pop("verdict", "label")
    return Decision(image.public_id, uuid.uuid4(), verdict, label if verdict == "label" else "", **more)


@pytest.mark.both_databases
def test_decisions_are_kept_in_order_and_on_record(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    first = say(images[0], "AML", shown_ms=900)
    second = say(images[0], "ALL", seen=first.key)
    saved = decisions_save(actor=sorters[0], seat=seats[0], decisions=[first, second, say(images[5], "CML")])
    assert (saved.n_new, saved.n_known) == (3, 0)
    assert SortingItem.objects.get(seat=seats[0], image=images[0]).current.label == "ALL"
    assert [row[3] for row in history_of(seats[0])] == ["AML", "ALL", "CML"]
    event = AuditEvent.objects.get(action="sorting.decide")
    rows = SortingDecision.objects.filter(pk__gte=event.data["first"], pk__lte=event.data["last"]).order_by("pk")
    assert event.data["n"] == 3
    assert event.data["sha256"] == decisions_sha256(rows)
    assert chain_verify().intact
    exposed = Exposure.objects.filter(user=sorters[0], kind="label").values_list("patient_id", flat=True)
    assert set(exposed) == {images[0].slide.patient_id, images[5].slide.patient_id}
    seats[0].refresh_from_db()
    assert seats[0].last_item == SortingItem.objects.get(seat=seats[0], image=images[5]).position


@pytest.mark.both_databases
def test_the_same_key_twice_is_one_decision(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    batch = [say(images[0]), say(images[1])]
    decisions_save(actor=sorters[0], seat=seats[0], decisions=batch)
    n_events = AuditEvent.objects.count()
    again = decisions_save(actor=sorters[0], seat=seats[0], decisions=[*batch, batch[0], say(images[2])])
    assert (again.n_new, again.n_known) == (1, 3)
    assert SortingDecision.objects.count() == 3
    assert AuditEvent.objects.count() == n_events + 1


def test_a_late_repeat_does_not_undo_what_came_after(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    first = say(images[0], "AML")
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[first])
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0], "CLL", seen=first.key)])
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[first])
    assert SortingItem.objects.get(seat=seats[0], image=images[0]).current.label == "CLL"


def test_one_key_may_cover_several_images(sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]) -> None:
    one = say(images[0], origin="bulk")
    batch = [replace(one, image=image.public_id) for image in images]
    assert decisions_save(actor=sorters[0], seat=seats[0], decisions=batch).n_new == 12


def test_two_windows_conflict_and_nothing_is_written(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    there = say(images[0], "AML")
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[there])
    with pytest.raises(Stale) as caught:
        decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[1]), say(images[0], "CLL")])
    conflict = caught.value.as_dict()["conflicts"]
    assert conflict == [
        {"image": str(images[0].public_id), "key": str(there.key), "verdict": "label", "label": "AML", "reason": ""}
    ]
    assert SortingDecision.objects.count() == 1
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0], "CLL", seen=there.key)])


def test_sorters_do_not_meet(sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]) -> None:
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0], "AML")])
    decisions_save(actor=sorters[1], seat=seats[1], decisions=[say(images[0], "CLL")])
    assert {entry.label for entry in queue_of(seats[0])} == {"", "AML"}
    assert {entry.label for entry in queue_of(seats[1])} == {"", "CLL"}
    with pytest.raises(NotAllowed):
        decisions_save(actor=sorters[1], seat=seats[0], decisions=[say(images[1])])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"label": "MDS"}, DomainError),
        ({"verdict": "label", "label": ""}, DomainError),
        ({"verdict": "exclude", "label": ""}, DomainError),
        ({"verdict": "exclude", "label": "AML", "reason": "blur"}, DomainError),
        ({"verdict": "guess"}, DomainError),
        ({"origin": "import"}, DomainError),
        ({"reason": "x" * 301}, DomainError),
        ({"image": uuid.uuid4()}, NotFound),
    ],
)
def test_nonsense_is_refused_whole(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage], change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0]), replace(say(images[1]), **change)])
    assert not SortingDecision.objects.exists()
    with pytest.raises(DomainError, match="0 decisions"):
        decisions_save(actor=sorters[0], seat=seats[0], decisions=[])


def test_withdrawn_patients_are_passed_over(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    from django.utils import timezone

    patient = images[0].slide.patient
    patient.withdrawn_at = timezone.now()
    patient.save()
    saved = decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0]), say(images[5])])
    assert (saved.n_new, saved.gone) == (1, [images[0].public_id])


@pytest.mark.both_databases
def test_decisions_cannot_be_changed_afterwards(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0])])
    with pytest.raises(DatabaseError), transaction.atomic():
        SortingDecision.objects.update(label="CLL")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM cases_sortingdecision")


def test_queries_do_not_grow_with_the_batch(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage], django_assert_max_num_queries: Any
) -> None:
    counts = []
    for batch in ([say(images[0])], [say(image) for image in images[1:]]):
        with django_assert_max_num_queries(30) as captured:
            decisions_save(actor=sorters[0], seat=seats[0], decisions=batch)
        counts.append(len(captured))
    assert counts[0] == counts[1], counts


def test_adjudication_leaves_the_sorters_alone(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage], task: SortingTask
) -> None:
    for sorter, seat, label in zip(sorters, seats[:2], ("AML", "ALL"), strict=False):
        decisions_save(actor=sorter, seat=seat, decisions=[say(images[0], label), say(images[1], "CML")])
    entries, patients = disputes_of(seats[2])
    assert [entry.image for entry in entries] == [str(images[0].public_id)]
    assert entries[0].said == ()
    assert patients == {images[0].slide.patient_id}
    settled = say(images[0], "ALL")
    adjudications_save(actor=sorters[2], seat=seats[2], decisions=[settled, settled])
    assert AdjudicationDecision.objects.get().blind
    assert disputes_of(seats[2])[0][0].label == "ALL"
    assert SortingDecision.objects.count() == 4
    with pytest.raises(NotAllowed):
        decisions_save(actor=sorters[2], seat=seats[2], decisions=[say(images[0])])
    with pytest.raises(NotAllowed):
        adjudications_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0])])
    with pytest.raises(Stale):
        adjudications_save(actor=sorters[2], seat=seats[2], decisions=[say(images[0])])


def test_open_adjudication_shows_verdicts_without_names(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage], task: SortingTask
) -> None:
    SortingTask.objects.filter(pk=task.pk).update(adjudication="open")
    for sorter, seat, label in zip(sorters, seats[:2], ("AML", "ALL"), strict=False):
        decisions_save(actor=sorter, seat=seat, decisions=[say(images[0], label)])
    seat = SortingSeat.objects.select_related("task").get(pk=seats[2].pk)
    assert disputes_of(seat)[0][0].said == (("A", "label", "ALL"), ("B", "label", "AML"))


def test_preferences_are_bounded_and_ones_own(sorters: list[Any], seats: list[SortingSeat]) -> None:
    seat_remember(actor=sorters[0], seat=seats[0], position=7, preferences={"tile": 200})
    seats[0].refresh_from_db()
    assert (seats[0].last_item, seats[0].preferences) == (7, {"tile": 200})
    with pytest.raises(DomainError, match="longer"):
        seat_remember(actor=sorters[0], seat=seats[0], preferences={"x": "y" * 9000})
    with pytest.raises(NotAllowed):
        seat_remember(actor=sorters[1], seat=seats[0], position=1)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_closing_races_with_deciding(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage], task: SortingTask, admin_user: Any
) -> None:
    """Every decision is either there when the task is closed, or refused: nothing is written after the close."""
    counted: list[int] = []
    refused = threading.Event()

    def press(index: int) -> None:
        try:
            for image in images:
                try:
                    decisions_save(actor=sorters[index], seat=seats[index], decisions=[say(image)])
                except TaskClosed:
                    refused.set()
                    return
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    task_close(actor=admin_user, task=task)
    counted.append(SortingDecision.objects.count())
    for thread in threads:
        thread.join()
    assert SortingDecision.objects.count() == counted[0]
    with pytest.raises(TaskClosed):
        decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(images[0])])


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_two_windows_pressing_at_once_lose_nothing(
    sorters: list[Any], seats: list[SortingSeat], images: list[HpfImage]
) -> None:
    """On each image one window wins, the other is told."""
    outcomes: list[str] = []

    def press(label: str) -> None:
        try:
            for image in images:
                try:
                    decisions_save(actor=sorters[0], seat=seats[0], decisions=[say(image, label)])
                    outcomes.append("saved")
                except Stale:
                    outcomes.append("told")
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(label,)) for label in ("AML", "CLL")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["saved"] * 12 + ["told"] * 12
    assert SortingDecision.objects.count() == 12


def test_deciding_needs_a_seat(as_role: Callable[..., Any], task: SortingTask, images: list[HpfImage]) -> None:
    client = as_role("pathologist")
    for path in ("queue", "history"):
        assert client.get(f"/api/v1/sorting/{task.public_id}/{path}/").status_code == 404
