"""ROC curves and areas: definitions by brute force, ties, intervals, undefined cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from leukoweb.statistics.covariance import auc_covariance, empirical_auc
from leukoweb.statistics.editions import computed_as
from leukoweb.statistics.paired import mcnemar
from leukoweb.statistics.predictive_values import compare_predictive_values, tango_interval
from leukoweb.statistics.results import StatisticsError
from leukoweb.statistics.roc import auc, compare_aucs, one_against_rest, roc_curve

SCORES = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5), st.integers(1, 5)), min_size=4, max_size=30)


def both_groups(answers: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array([*answers, (0, 1, 2), (0, 3, 3), (1, 3, 2), (1, 5, 4)])
    return table[:, 0], table[:, 1:].astype(float)


@given(SCORES)
@settings(max_examples=60, deadline=None)
def test_roc_auc_three_ways(answers: list[tuple[int, int, int]]) -> None:
    truth, scores = both_groups(answers)
    areas = empirical_auc(truth, scores)
    for k in (0, 1):
        x, y = scores[truth == 1, k], scores[truth == 0, k]
        pairs = ((x[:, None] > y).sum() + 0.5 * (x[:, None] == y).sum()) / (len(x) * len(y))
        curve = roc_curve(truth, scores[:, k])
        trapezoid = np.trapezoid(curve.sensitivity, 1 - curve.specificity)
        assert areas[k] == pytest.approx(pairs)
        assert areas[k] == pytest.approx(trapezoid)
        assert areas[k] == pytest.approx(roc_auc_score(truth, scores[:, k]))


@given(SCORES, st.sampled_from(["delong", "jackknife"]))
@settings(max_examples=40, deadline=None)
def test_roc_covariance_is_symmetric_and_positive(answers: list[tuple[int, int, int]], method: str) -> None:
    truth, scores = both_groups(answers)
    cov = auc_covariance(truth, scores, method=method)  # type: ignore[arg-type]
    assert cov == pytest.approx(cov.T)
    assert np.linalg.eigvalsh(cov).min() > -1e-12
    reversed_scores = auc_covariance(truth, -scores, method=method)  # type: ignore[arg-type]
    assert reversed_scores == pytest.approx(cov)


def test_roc_jackknife_leaves_out_each_case() -> None:
    rng = np.random.default_rng(0)
    truth, scores = np.arange(30) % 2, rng.integers(1, 6, (30, 2)).astype(float)
    without = np.array([empirical_auc(np.delete(truth, i), np.delete(scores, i, axis=0)) for i in range(30)])
    expected = 29 / 30 * (without - without.mean(axis=0)).T @ (without - without.mean(axis=0))
    assert auc_covariance(truth, scores, method="jackknife") == pytest.approx(expected)


@pytest.mark.slow
def test_roc_variances_by_simulation() -> None:
    """All three variances against the spread of 6,000 areas of 40 ordinal ratings."""
    rng = np.random.default_rng(5)
    truth = np.arange(40) % 2
    latent = rng.normal(size=(6000, 40)) + truth
    ratings = np.digitize(latent, [-0.5, 0.3, 0.9, 1.6]).astype(float)
    spread = np.var([empirical_auc(truth, item)[0] for item in ratings])
    for method, tolerance in (("delong", 0.07), ("jackknife", 0.1), ("unbiased", 0.05)):
        found = np.mean([auc_covariance(truth, item, method=method)[0, 0] for item in ratings[:1500]])  # type: ignore[arg-type]
        assert found == pytest.approx(spread, rel=tolerance)


def test_roc_interval_coverage_of_wald_and_logit() -> None:
    rng, hits = np.random.default_rng(6), {"wald": 0, "logit": 0}
    truth = np.arange(60) % 2
    area = 0.5 * math.erfc(-0.5)  # P(N(1, 1) > N(0, 1))
    for _ in range(400):
        scores = rng.normal(size=60) + truth
        for name in hits:
            found = auc(truth, scores, interval=name)[0]  # type: ignore[arg-type]
            hits[name] += found.low < area < found.high
    assert 0.91 <= hits["wald"] / 400 <= 0.98
    assert 0.92 <= hits["logit"] / 400 <= 0.985


def test_roc_curve_points_and_counts() -> None:
    curve = roc_curve([0, 0, 1, 1, 1], [1, 3, 2, 3, 5])
    assert curve.thresholds.tolist() == [math.inf, 5, 3, 2, 1]
    assert curve.true_positives.tolist() == [0, 1, 2, 3, 3]
    assert curve.true_negatives.tolist() == [2, 2, 1, 1, 0]
    assert curve.specificity.tolist() == [1, 1, 0.5, 0.5, 0]


def test_roc_undefined_and_perfect() -> None:
    (none,) = auc([1, 1], [1, 2])
    assert not none.defined
    (perfect,) = auc([0, 0, 1, 1], [1, 2, 3, 4])
    assert perfect.estimate == 1
    assert not perfect.has_interval
    assert "separation" in perfect.note
    assert np.isnan(roc_curve([1, 1], [1, 2]).specificity).all()


def test_roc_comparison_of_the_same_ranking_has_no_test() -> None:
    truth, scores = [0, 1, 0, 1, 1], [1, 2, 3, 4, 5]
    found = compare_aucs(truth, scores, np.array(scores) * 10)
    assert found.estimate == 0
    assert math.isnan(found.p)


def test_roc_comparison_uses_the_correlation() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(200) % 2
    first = rng.normal(size=200) + truth
    paired = compare_aucs(truth, first, first + rng.normal(0, 0.2, 200))
    apart = auc(truth, first)[0]
    assert apart.se is not None
    assert paired.se < apart.se


def test_roc_one_against_rest_names_empty_classes() -> None:
    scores = [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]
    found = one_against_rest(["ALL", "AML", "AML", "AML"], scores, ["ALL", "AML", "CML"])
    assert found["ALL"].estimate == 1.0
    assert not found["CML"].defined


def test_roc_missing_score_is_refused() -> None:
    with pytest.raises(StatisticsError, match="missing"):
        auc([0, 1], [1.0, math.nan])
    with pytest.raises(StatisticsError, match="0 or 1"):
        auc([1, 2], [1.0, 2.0])


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_roc_tango_interval_holds_the_estimate(a: int, b: int, c: int, d: int) -> None:
    table = np.array([[a, b], [c, d]])
    found = tango_interval(table)
    if table.sum() == 0:
        assert not found.defined
        return
    assert -1 <= found.low <= found.estimate <= found.high <= 1
    mirrored = tango_interval(table.T)
    assert mirrored.low == pytest.approx(-found.high, abs=1e-9)
    assert mirrored.high == pytest.approx(-found.low, abs=1e-9)
    assert found.high - found.low > 0.01, "never degenerate"


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ([[60, 0], [0, 4]], -0.056624, 0.056624),  # no discordant pair: z2 / (n + z2), z2 = 3.841459
        ([[0, 64], [0, 0]], 0.886752, 1.0),  # all discordant one way: (n - z2) / (n + z2)
        ([[0, 0], [3, 0]], -1.0, 0.122994),
    ],
)
def test_tango_of_pairs_that_are_all_alike(table: list[list[int]], low: float, high: float) -> None:
    found = tango_interval(table)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_the_first_edition_is_computed_as_it_was_printed() -> None:
    def found() -> tuple[float, float]:
        return tango_interval([[60, 0], [0, 4]]).low, mcnemar(1, 1, method="mid-p").p

    with computed_as(1):
        assert found() == pytest.approx((0, 0.5))
    assert found() == pytest.approx((-0.056624, 0.75), abs=1e-6)


def test_roc_predictive_values_mirror_when_tests_are_swapped() -> None:
    ill, well = np.array([[40, 4], [0, 1]]), np.array([[8, 14], [5, 42]])
    one, two = compare_predictive_values(ill, well), compare_predictive_values(ill.T, well.T)
    assert two.difference == pytest.approx(-one.difference)
    assert two.weighted_score.p == pytest.approx(one.weighted_score.p)
    assert two.ratio.estimate == pytest.approx(1 / one.ratio.estimate)
    empty = compare_predictive_values([[0, 0], [0, 5]], [[0, 0], [0, 5]])
    assert math.isnan(empty.first)
    assert math.isnan(empty.score.p)
