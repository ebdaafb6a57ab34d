"""Calibration and decision curves: identities, an independent logistic regression, and the undefined cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from leukoweb.statistics.calibration import (
    brier_parts,
    brier_score,
    calibration_error,
    calibration_line,
    reliability_curve,
    top_label,
)
from leukoweb.statistics.decision_curves import decision_curve, net_benefit_difference
from leukoweb.statistics.results import StatisticsError

ANSWERS = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def sample(n: int = 1500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes whose logit is 0.3 + 0.7 x stated logit, the stated probabilities, and their logits."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n)
    outcome = (rng.random(n) < 1 / (1 + np.exp(-(0.3 + 0.7 * logit)))).astype(int)
    return outcome, 1 / (1 + np.exp(-logit)), logit


@given(ANSWERS, st.integers(1, 12), st.sampled_from(["uniform", "quantile"]))
@settings(max_examples=60, deadline=None)
def test_calibration_brier_parts_add_up(answers: list[tuple[int, float]], bins: int, kind: str) -> None:
    outcome, stated = (np.array(column) for column in zip(*answers, strict=True))
    parts = brier_parts(outcome, stated, bins=bins, kind=kind)  # type: ignore[arg-type]
    assert parts.brier == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within)
    assert brier_score(outcome, stated).estimate == pytest.approx(parts.brier)
    assert sum(b.observed.n for b in reliability_curve(outcome, stated, bins=bins, kind=kind)) == len(answers)  # type: ignore[arg-type]


def test_calibration_line_is_the_maximum_of_the_likelihood() -> None:
    outcome, stated, logit = sample()

    def loss(beta: np.ndarray) -> float:
        eta = beta[0] + beta[1] * logit
        return float((np.logaddexp(0, eta) - outcome * eta).sum())

    best = optimize.minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-8})
    line = calibration_line(outcome, stated)
    assert line.intercept.estimate == pytest.approx(best.x[0], abs=1e-5)
    assert line.slope.estimate == pytest.approx(best.x[1], abs=1e-5)
    # Curvature of the likelihood by finite differences.
    h, steps = 1e-3, np.eye(2) * 1e-3
    curvature = [
        [
            (loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b)) / 4 / h**2
            for b in steps
        ]
        for a in steps
    ]
    assert line.slope.se == pytest.approx(math.sqrt(np.linalg.inv(curvature)[1, 1]), rel=1e-3)
    assert line.slope.low < 0.7 < line.slope.high < 1
    assert line.in_the_large.low > 0


def test_calibration_line_coverage() -> None:
    """95 % intervals of the slope hold the true 0.7 in about 95 % of samples."""
    hits = 0
    for seed in range(300):
        outcome, stated, _ = sample(300, seed)
        slope = calibration_line(outcome, stated).slope
        hits += slope.low < 0.7 < slope.high
    assert 0.91 <= hits / 300 <= 0.985


def test_calibration_line_undefined_cases_say_why() -> None:
    alike = calibration_line([1, 1, 1], [0.2, 0.5, 0.9])
    assert "alike" in alike.slope.note
    assert not alike.in_the_large.defined
    flat = calibration_line([1, 0, 1], [0.5, 0.5, 0.5])
    assert not flat.slope.defined
    assert flat.in_the_large.estimate == pytest.approx(math.log(2))
    separated = calibration_line([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8])
    assert not separated.slope.defined
    assert "separates" in separated.slope.note
    assert separated.in_the_large.defined


def test_calibration_certain_probabilities_are_counted() -> None:
    line = calibration_line([0, 1, 0, 1, 1], [0.0, 1.0, 1.0, 0.4, 0.6])
    assert line.n_clipped == 3
    assert line.slope.defined


def test_calibration_error_by_hand() -> None:
    # Bin 0-0.5: stated 0.2, observed 0.5; bin 0.5-1: stated 0.9, observed 1.
    error = calibration_error([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2, resamples=200)
    assert error.estimate == pytest.approx((0.3 + 0.1) / 2)
    assert 0 <= error.low <= error.high
    assert error == calibration_error([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2, resamples=200)
    assert math.isnan(calibration_error([0, 1], [0.2, 0.9], resamples=0).low)


def test_calibration_error_of_perfect_probabilities_is_zero() -> None:
    assert calibration_error([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]).estimate == 0
    assert brier_score([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]).estimate == 0


def test_calibration_quantile_bins_keep_ties_together() -> None:
    curve = reliability_curve([0, 1, 0, 1, 1, 0], [0.3, 0.3, 0.3, 0.3, 0.8, 0.9], bins=3, kind="quantile")
    assert [item.observed.n for item in curve] == [4, 2]


def test_calibration_top_label() -> None:
    right, stated = top_label([0, 2, 1], [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.6, 0.2]])
    assert right.tolist() == [1, 0, 1]
    assert stated.tolist() == [0.7, 0.5, 0.6]
    with pytest.raises(StatisticsError, match="add up to 1"):
        top_label([0], [[0.7, 0.7]])


@pytest.mark.parametrize("stated", [[0.5, 1.2], [0.5, float("nan")], [-0.1, 0.5]])
def test_calibration_refuses_what_is_no_probability(stated: list[float]) -> None:
    with pytest.raises(StatisticsError, match="0 to 1"):
        brier_score([0, 1], stated)


def test_calibration_decision_curve_by_counts() -> None:
    outcome, stated, _ = sample()
    for point in decision_curve(outcome, stated, [0.2, 0.5, 0.8]):
        called = stated >= point.threshold
        odds = point.threshold / (1 - point.threshold)
        tp, fp = (called & (outcome == 1)).sum(), (called & (outcome == 0)).sum()
        assert point.net_benefit.estimate == pytest.approx((tp - odds * fp) / len(outcome))
        assert point.over_all.estimate == pytest.approx(point.net_benefit.estimate - point.treat_all.estimate)
        assert point.n_positive_calls == called.sum()


def test_calibration_decision_curve_error_by_bootstrap() -> None:
    outcome, stated, _ = sample(400)
    rng = np.random.default_rng(1)
    point = decision_curve(outcome, stated, [0.4])[0]
    again = [
        decision_curve(outcome[rows], stated[rows], [0.4])[0].over_all.estimate
        for rows in rng.integers(0, 400, size=(500, 400))
    ]
    assert point.over_all.se == pytest.approx(np.std(again), rel=0.12)


def test_calibration_decision_models_are_compared_in_pairs() -> None:
    outcome, stated, _ = sample(400)
    same = net_benefit_difference(outcome, stated, stated, 0.5)
    assert same.estimate == 0
    assert not same.has_interval
    better = net_benefit_difference(outcome, outcome.astype(float), stated, 0.5)
    assert better.low > 0
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        decision_curve(outcome, stated, [1.0])
