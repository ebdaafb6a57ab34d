"""Planning figures against simulation and against the interval methods that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from leukoweb.statistics.agreement import cohen_kappa, kappa_values
from leukoweb.statistics.intervals import wilson
from leukoweb.statistics.mrmc import ai_versus_readers, from_covariance, obuchowski_rockette
from leukoweb.statistics.planning import (
    cases_for_kappa,
    cases_for_proportion,
    kappa_standard_error,
    kappa_table,
    proportion_half_width,
    simulate_macro_f1,
)
from leukoweb.statistics.planning_mrmc import AiPilot, Pilot, ai_power, cases_for_power, mrmc_power, power_grid
from leukoweb.statistics.results import StatisticsError

PAPER = [7 / 64, 22 / 64, 3 / 64, 4 / 64, 28 / 64]
PILOT = Pilot(0.0002, 0.0008, 0.00034, 0.00034, 0.00024, 114)


def test_planning_proportion_is_the_mean_width_of_the_reported_interval() -> None:
    rng = np.random.default_rng(3)
    low, high = wilson(rng.binomial(64, 0.8, size=20_000), 64)
    assert proportion_half_width(0.8, 64) == pytest.approx((high - low).mean() / 2, abs=2e-4)


def test_planning_proportion_is_the_smallest_number() -> None:
    for p, width in ((0.9, 0.05), (0.5, 0.1), (1.0, 0.04)):
        plan = cases_for_proportion(p, width)
        assert plan.half_width <= width < proportion_half_width(p, plan.n - 1)


def test_planning_exact_interval_needs_more_cases() -> None:
    exact = cases_for_proportion(0.9, 0.1, method="clopper-pearson")
    assert exact.n > cases_for_proportion(0.9, 0.1).n
    assert cases_for_proportion(0.9, 0.1, method="auto").n <= exact.n


def test_planning_kappa_table_has_the_kappa() -> None:
    for kappa in (0.0, 0.5, 0.8, 1.0):
        table = kappa_table(kappa, PAPER)
        assert table.sum() == pytest.approx(1.0)
        assert float(kappa_values(table)) == pytest.approx(kappa, abs=1e-12)


def test_planning_kappa_width_is_that_of_the_report() -> None:
    table = kappa_table(0.75, PAPER)
    reported = cohen_kappa(np.round(table * 1e7).astype(int))
    assert kappa_standard_error(table, 10**7) == pytest.approx(reported.result.se, rel=1e-4)
    plan = cases_for_kappa(0.75, PAPER, 0.1)
    assert plan.half_width <= 0.1
    assert kappa_standard_error(table, plan.n - 1) * stats.norm.ppf(0.975) > 0.1


def test_planning_kappa_error_by_simulation() -> None:
    rng = np.random.default_rng(5)
    table = kappa_table(0.75, PAPER)
    draws = rng.multinomial(400, table.ravel(), size=4000).reshape(-1, 5, 5)
    assert kappa_values(draws).std() == pytest.approx(kappa_standard_error(table, 400), rel=0.05)


def test_planning_impossible_kappa_is_refused() -> None:
    with pytest.raises(StatisticsError, match="impossible"):
        kappa_table(-0.9, [0.9, 0.1])
    with pytest.raises(StatisticsError, match="add up"):
        kappa_table(0.5, [0.9, 0.2])


def test_planning_macro_f1_of_perfect_and_of_guessing_readers() -> None:
    perfect = simulate_macro_f1(np.eye(3), [5, 5, 5], simulations=50, threshold=0.99)
    assert (perfect.mean, perfect.sd, perfect.probability_above) == (1.0, 0.0, 1.0)
    guess = simulate_macro_f1(np.full((2, 2), 0.5), [200, 200], simulations=2000)
    assert guess.mean == pytest.approx(0.5, abs=0.005)
    assert guess.low < guess.true_value < guess.high


def test_planning_macro_f1_is_reproducible_and_narrows() -> None:
    rows = np.array(
        [[5, 2, 0, 0, 0], [12, 10, 0, 0, 0], [0, 0, 3, 0, 0], [0, 0, 0, 4, 0], [4, 1, 0, 0, 23]], dtype=float
    )
    rows /= rows.sum(axis=1, keepdims=True)
    small = simulate_macro_f1(rows, [7, 22, 3, 4, 28], simulations=2000)
    assert small == simulate_macro_f1(rows, [7, 22, 3, 4, 28], simulations=2000) or np.isnan(small.probability_above)
    large = simulate_macro_f1(rows, [70, 220, 30, 40, 280], simulations=2000)
    assert small.true_value == pytest.approx(0.7661064425770309)
    assert large.sd < small.sd / 2


def crossed_errors(rng: np.random.Generator, pilot: Pilot, t: int, r: int) -> np.ndarray:
    """Error covariance of a fully crossed study, (t * r, t * r)."""
    same_t, same_r = np.kron(np.eye(t), np.ones((r, r))), np.kron(np.ones((t, t)), np.eye(r))
    both = same_t * same_r
    return (
        pilot.cov3
        + (pilot.cov2 - pilot.cov3) * (same_t - both)
        + (pilot.cov1 - pilot.cov3) * (same_r - both)
        + (pilot.var_error - pilot.cov3) * both
    )


@pytest.mark.slow
def test_planning_mrmc_power_by_simulation() -> None:
    """The planned power against rejections in studies drawn from the model."""
    rng, r, difference = np.random.default_rng(11), 6, 0.05
    covariance = crossed_errors(rng, PILOT, 2, r)
    errors = rng.multivariate_normal(np.zeros(2 * r), covariance, size=500).reshape(-1, 2, r)
    estimates = 0.8 + np.array([difference, 0.0])[:, None] + errors
    estimates = estimates + rng.normal(0, PILOT.var_treatment_reader**0.5, estimates.shape)
    found = np.mean([obuchowski_rockette(item, covariance).random.p < 0.05 for item in estimates])
    planned = mrmc_power(PILOT, difference, r, PILOT.n_cases)
    assert found == pytest.approx(planned.power, abs=0.07)
    null = mrmc_power(PILOT, 0.0, r, PILOT.n_cases)
    assert null.power == 0.05


def test_planning_ai_power_by_simulation() -> None:
    rng, r, margin = np.random.default_rng(13), 5, 0.08
    pilot = AiPilot(var_reader=0.001, var_error=0.0022, cov2=0.0016, n_cases=64)
    covariance = np.zeros((r + 1, r + 1))
    covariance[1:, 1:] = pilot.cov2 + (pilot.var_error - pilot.cov2) * np.eye(r)
    people = rng.multivariate_normal(np.zeros(r), covariance[1:, 1:], size=1500)
    people = 0.85 + people + rng.normal(0, pilot.var_reader**0.5, people.shape)
    verdicts = [from_covariance([0.88, *item], covariance, n=64, margin=margin).non_inferior for item in people]
    planned = ai_power(pilot, 0.03, r, 64, margin=margin)
    assert np.mean(verdicts) == pytest.approx(planned.power, abs=0.05)


def test_planning_power_grows_with_readers_cases_and_margin() -> None:
    grid = power_grid(lambda r, c: mrmc_power(PILOT, 0.04, r, c), [3, 6, 12], [50, 100, 400])
    table = np.array([item.power for item in grid]).reshape(3, 3)
    assert (np.diff(table, axis=0) > 0).all()
    assert (np.diff(table, axis=1) > 0).all()
    pilot = AiPilot(0.001, 0.0022, 0.0016, 64)
    assert ai_power(pilot, 0, 3, 64, margin=0.1).power > ai_power(pilot, 0, 3, 64, margin=0.05).power


def test_planning_cases_for_power_is_the_smallest_or_none() -> None:
    found = cases_for_power(lambda r, c: mrmc_power(PILOT, 0.05, r, c), 6, 0.8)
    assert found is not None
    assert found.power >= 0.8 > mrmc_power(PILOT, 0.05, 6, found.n_cases - 1).power
    # Three readers who differ this much cannot show it with any number of cases.
    unsure = Pilot(0.01, 0.0008, 0.00034, 0.00034, 0.00024, 114)
    assert cases_for_power(lambda r, c: mrmc_power(unsure, 0.05, r, c), 3, 0.8) is None


def test_planning_pilot_from_an_analysis() -> None:
    rng = np.random.default_rng(2)
    correct = (rng.random((60, 4)) < [0.9, 0.8, 0.85, 0.7]).astype(float)
    comparison = ai_versus_readers(correct[:, 0], correct[:, 1:])
    pilot = AiPilot.of(comparison)
    assert pilot.n_cases == 60
    assert pilot.var_reader >= 0
    same_size = ai_power(pilot, 0.1, 3, 60)
    if comparison.ms_reader - comparison.var_error + comparison.cov2 > 0 and comparison.cov2 > 0:
        assert same_size.se == pytest.approx(comparison.se)
    with pytest.raises(StatisticsError, match="one reader"):
        AiPilot.of(ai_versus_readers(correct[:, 0], correct[:, 1:2]))
    with pytest.raises(StatisticsError, match="at least 2 readers"):
        ai_power(pilot, 0.1, 1, 60)
