"""From rows to consensus, and taxonomies as rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from cases.consensus import ConsensusRule
from cases.models import AdjudicationDecision, Cohort, HpfImage, SortingTask, Taxonomy
from cases.selectors.sorting import consensus_for_task
from cases.services.taxonomies import map_of, taxonomy_ensure, taxonomy_version_create
from leukoweb.core.exceptions import DomainError, NotFound
from tests.cases.sorting.conftest import images_make, seat_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(training: Cohort) -> SortingTask:
    return SortingTask.objects.create(
        name="First", taxonomy=taxonomy_ensure(), seed=1, consensus=ConsensusRule("adjudicated").as_dict()
    )


@pytest.mark.both_databases
def test_consensus_for_task(
    task: SortingTask, images: list[HpfImage], sorters: list[Any], decide: Callable[..., Any]
) -> None:
    anna, ben = (seat_make(task, user, images) for user in sorters[:2])
    judge = seat_make(task, sorters[2], [], "adjudicator")
    agreed, disputed, open_, settled = images[:4]
    decide(anna, agreed, "ALL")
    for seat, labels in ((anna, "AML ALL AML"), (ben, "AML CML CML")):
        for image, label in zip((agreed, disputed, settled), labels.split(), strict=True):
            decide(seat, image, label)
    decide(anna, open_, "AML")
    for label in ("ALL", "APML"):
        AdjudicationDecision.objects.create(
            task=task, image=settled, seat=judge, key=uuid.uuid4(), verdict="label", label=label, blind=True
        )
    found = consensus_for_task(task)
    assert len(found) == len(images)
    assert (found[agreed.pk].label, found[agreed.pk].how) == ("AML", "unanimous")
    assert found[disputed.pk].verdict == "disputed"
    assert found[open_.pk].verdict == "open"
    assert (found[settled.pk].label, found[settled.pk].how) == ("APML", "adjudicated")
    assert consensus_for_task(task, ConsensusRule("unanimous"))[settled.pk].verdict == "disputed"

    ben.active = False
    ben.save()
    assert consensus_for_task(task)[open_.pk].label == "AML"


def test_who_left_is_not_waited_for_and_who_stayed_is(
    task: SortingTask, images: list[HpfImage], sorters: list[Any], decide: Callable[..., Any]
) -> None:
    anna, ben = (seat_make(task, user, images) for user in sorters[:2])
    by_both, by_anna, by_ben, by_nobody = images[:4]
    for seat, image in ((anna, by_both), (ben, by_both), (anna, by_anna), (ben, by_ben)):
        decide(seat, image, "AML")
    two, all_ = ConsensusRule(min_decisions=2), ConsensusRule()
    assert consensus_for_task(task, two)[by_anna.pk].verdict == "open"
    ben.active = False
    ben.save()
    found = consensus_for_task(task, two)
    assert (found[by_both.pk].label, found[by_anna.pk].label) == ("AML", "AML")
    assert found[by_ben.pk].verdict == "open", "anna can still make it two"
    assert found[by_nobody.pk].verdict == "open"
    assert consensus_for_task(task, all_)[by_ben.pk].verdict == "open", "anna has it too and is waited for"
    assert consensus_for_task(task, ConsensusRule(min_decisions=3))[by_both.pk].verdict == "open", "never reachable"


def test_a_panel_that_lost_somebody_settles_with_those_who_are_left(
    task: SortingTask, images: list[HpfImage], sorters: list[Any], decide: Callable[..., Any], make_user: Any
) -> None:
    anna, ben = (seat_make(task, user, images) for user in sorters[:2])
    judges = [seat_make(task, user, [], "adjudicator") for user in (sorters[2], make_user("pathologist", "dora"))]
    by_one, by_other = images[:2]
    for image in (by_one, by_other):
        decide(anna, image, "AML")
        decide(ben, image, "ALL")
    for judge, image in zip(judges, (by_one, by_other), strict=True):
        AdjudicationDecision.objects.create(
            task=task, image=image, seat=judge, key=uuid.uuid4(), verdict="label", label="APML", blind=True
        )
    panel = ConsensusRule(panel_min=2)
    assert {consensus_for_task(task, panel)[image.pk].verdict for image in (by_one, by_other)} == {"disputed"}
    judges[1].active = False
    judges[1].save()
    found = consensus_for_task(task, panel)
    assert found[by_one.pk].label == "APML", "nobody else can vote"
    assert found[by_other.pk].verdict == "disputed", "the first one still can"
    assert consensus_for_task(task, ConsensusRule(panel_min=3))[by_one.pk].verdict == "disputed", "never reachable"


def test_queries_do_not_grow_with_images_or_seats(
    task: SortingTask, images: list[HpfImage], sorters: list[Any], django_assert_num_queries: Any, training: Cohort
) -> None:
    seat_make(task, sorters[0], images)
    with django_assert_num_queries(2):
        consensus_for_task(task)
    seat_make(task, sorters[1], [*images, *images_make(training, 5, 5, prefix="T")])
    with django_assert_num_queries(2):
        assert len(consensus_for_task(task)) == 37


def test_withdrawn_patients_have_no_consensus(task: SortingTask, images: list[HpfImage], sorters: list[Any]) -> None:
    from django.utils import timezone

    seat_make(task, sorters[0], images)
    patient = images[0].slide.patient
    patient.withdrawn_at = timezone.now()
    patient.save()
    assert len(consensus_for_task(task)) == 8


@pytest.mark.both_databases
def test_the_paper_is_written_once_and_cannot_change() -> None:
    taxonomy = taxonomy_ensure()
    assert taxonomy_ensure() == taxonomy
    assert (taxonomy.name, taxonomy.version, len(taxonomy.labels)) == ("paper", 1, 7)
    assert map_of(taxonomy, "three")("CLL") == "CHRONIC"
    with pytest.raises(NotFound, match="no map 'seven'"):
        map_of(taxonomy, "seven")
    with pytest.raises(DatabaseError), transaction.atomic():
        Taxonomy.objects.update(labels=[])


def test_a_new_version_keeps_the_old_one(admin_user: Any) -> None:
    first = taxonomy_ensure()
    with pytest.raises(DomainError, match="Nothing differs"):
        taxonomy_version_create(actor=admin_user, name="paper", labels=first.labels, maps=first.maps)
    mds = {"name": "MDS", "title": "Myelodysplastic syndrome", "code": "MD", "colour": "#F0E442", "key": "8"}
    with pytest.raises(DomainError, match="map five: MDS"):
        taxonomy_version_create(actor=admin_user, name="paper", labels=[*first.labels, mds], maps=first.maps)
    maps = {n: {**m, "by_label": {**m["by_label"], "MDS": m["by_label"]["CML"]}} for n, m in first.maps.items()}
    second = taxonomy_version_create(actor=admin_user, name="paper", labels=[*first.labels, mds], maps=maps)
    assert second.version == 2
    assert map_of(second, "five")("MDS") == "CML"
    first.refresh_from_db()
    assert len(first.labels) == 7
