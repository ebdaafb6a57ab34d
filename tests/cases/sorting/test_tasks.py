"""Making tasks, dealing queues, leaving and closing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from cases.consensus import ConsensusRule
from cases.models import (
    AdjudicationDecision,
    Cohort,
    Exclusion,
    HpfImage,
    Patient,
    SortingItem,
    SortingSeat,
    SortingTask,
)
from cases.selectors.sorting_queue import (
    queue_of,
    seat_progress,
    seats_not_through,
    seats_of,
    seats_settling,
    task_list,
)
from cases.services.sorting import Decision, decisions_save
from cases.services.sorting_tasks import People, seat_stop, task_close, task_create
from cases.services.taxonomies import taxonomy_ensure
from leukoweb.core.blindfold import lift, put_on
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed
from leukoweb.core.models import AuditEvent
from leukoweb.core.services.users import ReasonNeeded, user_change
from tests.cases.sorting.conftest import images_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def make(training: Cohort, images: list[HpfImage], sorters: list[Any]) -> Callable[..., SortingTask]:
    def create(**options: Any) -> SortingTask:
        given = {"name": "First sorting", "cohorts": [training], "people": People(sorters[:2], [], sorters[2:])}
        return task_create(actor=None, taxonomy=taxonomy_ensure(), **{**given, "seed": 5, **options})

    return create


@pytest.mark.both_databases
def test_queues_are_dealt_once_and_differ(make: Callable[..., SortingTask], images: list[HpfImage]) -> None:
    task = make()
    seats = list(task.seats.order_by("pk"))
    assert [seat.part for seat in seats] == ["sorter", "sorter", "adjudicator"]
    queues = [list(seat.items.order_by("position").values_list("image_id", flat=True)) for seat in seats]
    assert sorted(queues[0]) == sorted(queues[1]) == [image.pk for image in images]
    assert queues[0] != queues[1]
    assert queues[2] == []
    event = AuditEvent.objects.get(action="sorting.create")
    assert event.data["n_images"] == 12
    assert event.data["seed"] == "5"


def test_excluded_images_and_withdrawn_patients_are_left_out(
    make: Callable[..., SortingTask], images: list[HpfImage]
) -> None:
    from django.utils import timezone

    Exclusion.objects.create(image=images[0], excluded=True, reason="blur")
    Exclusion.objects.create(image=images[1], excluded=True, reason="blur")
    Exclusion.objects.create(image=images[1], excluded=False, reason="blur")
    patient = images[-1].slide.patient
    patient.withdrawn_at = timezone.now()
    patient.save()
    dealt = set(SortingItem.objects.filter(seat__task=make()).values_list("image_id", flat=True))
    assert dealt == {image.pk for image in images[1:8]}


@pytest.mark.both_databases
def test_a_queue_shows_neutral_numbers_only(
    make: Callable[..., SortingTask], images: list[HpfImage], decide: Callable[..., Any]
) -> None:
    seat = make().seats.first()
    assert seat is not None
    made = {str(image.public_id): decide(seat, image, "CML") for image in images[::3]}
    entries = queue_of(seat)
    dealt = seat.items.order_by("position").values_list("image__public_id", flat=True)
    assert [entry.image for entry in entries] == [str(public_id) for public_id in dealt]
    assert {entry.image: entry.key for entry in entries if entry.key} == {x: str(one.key) for x, one in made.items()}
    assert {(entry.verdict, entry.label) for entry in entries} == {("", ""), ("label", "CML")}
    assert len(entries) == 12
    first_seen = list(dict.fromkeys(entry.slide for entry in entries))
    assert first_seen == [1, 2, 3]
    told = str([entry.as_row() for entry in entries])
    assert "AML" not in told
    assert not any(image.content_sha256 in told for image in images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cohorts": []}, "at least one cohort"),
        ({"name": " "}, "name"),
        ({"people": People([])}, "at least one sorter"),
        ({"assignment": "some"}, "assignment"),
        ({"overlap_percent": 101}, "overlap percent"),
        ({"rule": ConsensusRule("senior")}, "needs a senior"),
        ({"assignment": "split", "rule": ConsensusRule("majority", min_decisions=2)}, "one sorter, but 2"),
        ({"rule": ConsensusRule(min_decisions=3)}, "each image has 2 sorters, but 3"),
        ({"assignment": "overlap", "overlap_percent": 20, "rule": ConsensusRule(min_decisions=2)}, "some images have"),
        ({"assignment": "overlap", "overlap_percent": 100, "rule": ConsensusRule(min_decisions=3)}, "2 sorters, but 3"),
        ({"rule": ConsensusRule(panel_min=2)}, "2 adjudicators must decide, but 1 is chosen"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[..., SortingTask], change: dict[str, Any], words: str) -> None:
    with pytest.raises(DomainError) as caught:
        make(**change)
    assert words in caught.value.message
    assert not SortingTask.objects.exists()


def test_what_can_just_be_reached_is_taken(make: Callable[..., SortingTask], sorters: list[Any]) -> None:
    make(rule=ConsensusRule(min_decisions=2))
    make(name="Every image twice", assignment="overlap", overlap_percent=100, rule=ConsensusRule(min_decisions=2))
    make(name="A panel", people=People(sorters[:1], [], sorters[1:]), rule=ConsensusRule(panel_min=2))
    make(name="Nobody to settle", people=People(sorters[:2]))


def test_people_with_two_parts_or_no_right_are_refused(
    make: Callable[..., SortingTask], sorters: list[Any], coordinator: Any
) -> None:
    with pytest.raises(DomainError, match="has two parts"):
        make(people=People(sorters[:2], [], sorters[:1]))
    with pytest.raises(DomainError, match="may not sort"):
        make(people=People([coordinator]))
    with pytest.raises(DomainError, match="at least two sorters"):
        make(people=People(sorters[:1]), assignment="overlap")


def test_a_name_twice_is_a_conflict(make: Callable[..., SortingTask]) -> None:
    make()
    with pytest.raises(Conflict, match="already"):
        make()


def test_an_empty_cohort_is_refused(make: Callable[..., SortingTask]) -> None:
    empty = Cohort.objects.create(name="Empty", purpose="development")
    with pytest.raises(DomainError, match="no image to sort in Empty"):
        make(cohorts=[empty])


def test_closing_and_leaving(make: Callable[..., SortingTask], admin_user: Any) -> None:
    task = make()
    seat = task.seats.first()
    assert seat is not None
    with pytest.raises(DomainError, match="reason"):
        seat_stop(actor=admin_user, seat=seat, reason=" ")
    seat_stop(actor=admin_user, seat=seat, reason="Retired")
    with pytest.raises(Conflict):
        seat_stop(actor=admin_user, seat=seat, reason="Again")
    task_close(actor=admin_user, task=task)
    with pytest.raises(Conflict, match="was closed"):
        task_close(actor=admin_user, task=task)


@pytest.mark.both_databases
def test_another_role_ends_the_places_in_open_tasks(
    make: Callable[..., SortingTask], images: list[HpfImage], sorters: list[Any], admin_user: Any, decide: Any
) -> None:
    """As a coordinator one sees every patient, label and result of the task; nobody sorts on after that."""
    closed = make(name="Over")
    task_close(actor=admin_user, task=closed)
    task, anna = make(), sorters[0]
    seat = task.seats.get(user=anna)
    decide(seat, images[0], "AML")
    with pytest.raises(ReasonNeeded, match=r"the place in the sorting task “First sorting” \(1 of 12 decided\)"):
        user_change(actor=admin_user, user=anna, role="coordinator")
    assert SortingSeat.objects.get(pk=seat.pk).active, "nothing ends before the admin knows it"
    user_change(actor=admin_user, user=anna, role="coordinator", reason="runs the study")
    user_change(actor=admin_user, user=anna, role="pathologist")
    with pytest.raises(NotAllowed, match="not your place"):
        decisions_save(
            actor=anna, seat=seat, decisions=[Decision(images[1].public_id, uuid.uuid4(), "label", label="AML")]
        )
    assert list(seats_of(anna)) == [closed.seats.get(user=anna)]
    [event] = AuditEvent.objects.filter(action="sorting.seat_stop")
    assert (event.target, event.reason) == (
        f"sorting:{task.pk}", "the sorter became study coordinator: runs the study",
    )  # fmt: skip
    assert SortingItem.objects.get(seat=seat, image=images[0]).current is not None, "what was decided stays"
    # A place that is open although its owner came back from another role is of a time before: it ends, too.
    SortingSeat.objects.filter(pk=seat.pk).update(active=True)
    type(anna).objects.filter(pk=anna.pk).update(role="coordinator")
    user_change(actor=admin_user, user=anna, role="pathologist", reason="back")
    assert not SortingSeat.objects.get(pk=seat.pk).active


def test_counts_leave_out_what_was_taken_back_and_withdrawn_patients(
    make: Callable[..., SortingTask], training: Cohort, images: list[HpfImage], sorters: list[Any], decide: Any
) -> None:
    task = make()
    seat = SortingSeat.objects.get(task=task, user=sorters[0])
    decide(seat, images[0], "AML")
    decide(seat, images[1], verdict="exclude")
    decide(seat, images[2], verdict="cleared")  # undecided again
    decide(seat, images[-1], "AML")  # of the patient who leaves
    assert [(row.n_items, row.n_decided) for row in seats_of(sorters[0])] == [(12, 3)]
    assert [(row.n_items, row.n_decided, row.n_seats) for row in task_list()] == [(24, 3, 2)]
    Patient.objects.filter(pk=images[-1].slide.patient_id).update(withdrawn_at=timezone.now())
    assert [(row.n_items, row.n_decided) for row in seats_of(sorters[0])] == [(8, 2)]
    assert [(row.n_items, row.n_decided) for row in task_list()] == [(16, 2)]
    assert [(row.n_items, row.n_decided) for row in seat_progress(task)] == [(8, 2), (8, 0), (0, 0)]
    for image in images[2:8]:
        decide(seat, image, "AML")
    assert seats_not_through(task) == [task.seats.get(user=sorters[1])], "nobody waits for images that are gone"
    for image in images[2:8]:
        decide(seat, image, verdict="cleared")
    put_on(lambda: {image.slide.patient_id for image in images}, lambda: sorters[0].pk)  # as on the start page
    try:
        assert [(row.n_items, row.n_decided) for row in seats_of(sorters[0])] == [(8, 2)]
    finally:
        lift()


@pytest.mark.both_databases
def test_counts_of_staff_are_those_of_the_rows(
    make: Callable[..., SortingTask], images: list[HpfImage], decide: Callable[..., Any]
) -> None:
    task, other = make(), make(name="Second")
    first, second, settles = task.seats.order_by("pk")
    for image in images[:5]:
        decide(first, image, "AML")
    decide(first, images[0], verdict="cleared")
    decide(first, images[1], verdict="cleared")
    decide(first, images[1], "CML")
    decide(second, images[2], verdict="cleared")
    decide(other.seats.order_by("pk")[0], images[2], "AML")

    def settle(image: HpfImage, label: str = "AML") -> None:
        verdict = "label" if label else "cleared"
        AdjudicationDecision.objects.create(
            task=task, seat=settles, image=image, key=uuid.uuid4(), verdict=verdict, label=label, blind=True
        )

    for image in (images[3], images[3], images[4], images[1]):
        settle(image)
    assert [(one.n_items, one.n_decided, one.n_seats) for one in task_list()] == [(24, 1, 2), (24, 4, 2)]
    disputed = {image.pk for image in images[3:6]}  # images[1] no longer is: a sorter said something else since
    assert [(seat.n_items, seat.n_decided, seat.n_settled) for seat in seats_settling(task, disputed)] == [
        (12, 4, 0), (12, 0, 0), (0, 0, 2),
    ]  # fmt: skip
    settle(images[3], "")
    assert seats_settling(task, disputed)[2].n_settled == 1, "what was taken back is not settled"


def test_lists_count_in_one_query_however_many_there_are(
    make: Callable[..., SortingTask], training: Cohort, sorters: list[Any], django_assert_num_queries: Any
) -> None:
    make()
    with django_assert_num_queries(1):
        assert [task.n_items for task in task_list()] == [24]
    images_make(training, 2, 3, prefix="more")
    task = make(name="Second")
    with django_assert_num_queries(1):
        assert [row.n_items for row in task_list()] == [36, 24]
    with django_assert_num_queries(1):
        assert [seat.n_items for seat in seats_of(sorters[0])] == [18, 12]
    with django_assert_num_queries(1):
        assert [(seat.n_items, seat.n_decided) for seat in seat_progress(task)] == [(18, 0), (18, 0), (0, 0)]
