"""Agreement of sorters: the point estimates of other modules, and intervals that respect patients."""

from __future__ import annotations

import numpy as np
import pytest

from leukoweb.statistics.agreement import cohen_kappa, positive_agreement
from leukoweb.statistics.results import StatisticsError
from leukoweb.statistics.sorters import sorter_agreement


def alike(n_patients: int, n_each: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients whose images are all easy (both say the same) or all hard (the second guesses the other class)."""
    random = np.random.default_rng(seed)
    truth = np.repeat(random.integers(0, 2, n_patients), n_each)
    hard = np.repeat(random.random(n_patients) < 0.3, n_each)
    return truth, np.where(hard, 1 - truth, truth), np.repeat(np.arange(n_patients), n_each)


def test_point_estimates_are_those_of_the_agreement_module() -> None:
    random = np.random.default_rng(3)
    first = random.integers(-1, 4, 300)
    second = np.where(random.random(300) < 0.7, first, random.integers(0, 4, 300))
    found = sorter_agreement(first, second, random.integers(0, 40, 300), 4, resamples=100)
    assert found.kappa.estimate == pytest.approx(cohen_kappa(found.table).result.estimate)
    expected = [one.estimate for one in positive_agreement(found.table)]
    assert [one.estimate for one in found.by_class] == pytest.approx(expected)
    assert found.n_images == int((first >= 0).sum())
    assert (found.agreement.numerator, found.agreement.denominator) == (np.trace(found.table), found.n_images)


def test_the_clustered_interval_is_wider_where_images_of_a_patient_are_alike() -> None:
    """40 patients of 25 images that agree or disagree as a whole: the true design effect is 25, a factor 5 in width."""
    found = sorter_agreement(*alike(40, 25, 1), 2)
    clustered, naive = (one.high - one.low for one in (found.kappa, found.kappa_naive))
    assert clustered > 3 * naive
    assert found.kappa.estimate == found.kappa_naive.estimate


def test_without_clustering_the_two_intervals_are_about_equal() -> None:
    first, second, _ = alike(400, 1, 2)
    found = sorter_agreement(first, second, np.arange(400), 2)
    assert found.kappa.high - found.kappa.low == pytest.approx(found.kappa_naive.high - found.kappa_naive.low, rel=0.01)


def test_the_clustered_interval_covers_and_the_naive_one_does_not() -> None:
    """90 data sets whose true kappa is 0.4: both classes equally often, 30 % of patients hard."""
    hits = {"clustered": 0, "naive": 0}
    for seed in range(90):
        found = sorter_agreement(*alike(60, 10, seed), 2, resamples=200)
        hits["clustered"] += found.kappa.low <= 0.4 <= found.kappa.high
        hits["naive"] += found.kappa_naive.low <= 0.4 <= found.kappa_naive.high
    assert hits["clustered"] >= 80
    assert hits["naive"] <= 60


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = (sorter_agreement(*alike(20, 5, 4), 2, resamples=150) for _ in range(2))
    assert first.as_dict() == second.as_dict()


def test_what_cannot_be_estimated_says_why() -> None:
    nothing = sorter_agreement([0, -1], [-1, 1], ["p", "q"], 2)
    assert nothing.kappa.note == "no image that both decided"
    one_class = sorter_agreement([0, 0, 0], [0, 0, 0], ["p", "q", "r"], 2)
    assert "one and the same class" in one_class.kappa.note
    assert one_class.by_class[1].note == "neither sorter used the class"
    single = sorter_agreement([0, 1, 0], [0, 1, 1], ["p", "p", "p"], 2)
    assert (single.kappa.has_interval, single.kappa.note) == (False, "a single patient: no interval")
    with pytest.raises(StatisticsError, match="differ in length"):
        sorter_agreement([0, 1], [0, 1], ["p"], 2)
