"""Hidden patients are said to the database as runs of numbers; they are exactly the hidden ones."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cases.models import HpfImage, Patient, Slide, SortingItem
from inference.models import PatientPrediction, PipelineRun
from leukoweb.core.blindfold import MOST_RUNS, among, lift, put_on
from leukoweb.core.models import Job, User

pytestmark = pytest.mark.django_db


def test_runs_are_exactly_the_numbers() -> None:
    User.objects.bulk_create(User(username=f"u{i}", role="technician") for i in range(40))
    everybody = set(User.objects.values_list("pk", flat=True))
    rng = random.Random(1)
    for n in range(41):
        chosen = set(rng.sample(sorted(everybody), n))
        found = set(User.objects.filter(among("pk", chosen)).values_list("pk", flat=True)) if chosen else set()
        assert found == chosen
        if chosen:
            assert set(User.objects.exclude(among("pk", chosen)).values_list("pk", flat=True)) == everybody - chosen


def test_a_whole_cohort_is_one_run() -> None:
    assert among("patient_id", range(5, 10_005)).children == [("patient_id__gte", 5), ("patient_id__lte", 10_004)]


@pytest.mark.parametrize("model", [Patient, Slide, HpfImage, SortingItem, PipelineRun, PatientPrediction, Job])
def test_every_table_that_leads_to_a_patient_takes_it(model: Any) -> None:
    """Foreign keys know fewer comparisons than numbers do."""
    put_on(lambda: {3, 4, 5, 9}, lambda: 1)
    try:
        assert list(model.objects.all()) == []
    finally:
        lift()


def test_scattered_numbers_stay_a_list() -> None:
    """So that the expression never grows deeper than a database takes."""
    scattered = range(0, 2 * (MOST_RUNS + 1), 2)
    assert among("patient_id", scattered).children == [("patient_id__in", list(scattered))]
