"""Coverage of the intervals for readers, areas, calibration and net benefit: how often they hold the true value.

``python benchmarks/coverage_mrmc.py [DRAWS]`` prints the table of docs/statistics.md. Every draw is a new study from
a model whose true value is known in closed form, except the calibration error, whose truth is the mean over a million
cases.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import numpy as np

from leukoweb.statistics.calibration import bin_numbers, brier_score, calibration_error, calibration_line
from leukoweb.statistics.decision_curves import decision_curve
from leukoweb.statistics.mrmc import ai_versus_readers, analyse_auc
from leukoweb.statistics.predictive_values import tango_interval
from leukoweb.statistics.roc import auc
from leukoweb.statistics.ustatistics import u_statistic

Draw = Callable[[np.random.Generator], Iterator[tuple[str, float, float, float]]]


def _below(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def readers(n: int, r: int) -> Draw:
    """AI against r readers on n cases; readers differ, cases differ in ease."""

    def draw(rng: np.random.Generator) -> Iterator[tuple[str, float, float, float]]:
        ease, skill = rng.normal(0, 0.7, n), rng.normal(1.2, 0.4, r)
        correct = (ease[:, None] + skill + rng.normal(size=(n, r)) > 0).astype(float)
        ai = (ease + 1.2 + rng.normal(size=n) > 0).astype(float)
        truth = _below(1.2 / math.sqrt(1.49)) - _below(1.2 / math.sqrt(1.65))
        found = ai_versus_readers(ai, correct)
        yield f"AI - readers, {n} cases, {r} readers", truth, found.low, found.high
        mean = u_statistic(correct)
        yield (
            f"readers' mean by U-statistic, {n} cases, {r} readers",
            _below(1.2 / math.sqrt(1.65)),
            mean.low,
            mean.high,
        )

    return draw


def modalities(n: int, r: int) -> Draw:
    """Two modalities, r readers, n cases, ordinal ratings; equal areas."""

    def draw(rng: np.random.Generator) -> Iterator[tuple[str, float, float, float]]:
        truth = np.arange(n) % 2
        case, skill = rng.normal(0, 0.6, n), rng.normal(1.3, 0.3, (1, r, 1))
        both = rng.normal(0, 0.2, (2, r, 1))
        scores = np.digitize(case + (skill + both) * truth + rng.normal(0, 0.8, (2, r, n)), [-0.5, 0.4, 1.0, 1.8])
        first = analyse_auc(truth, scores).random.differences[0]
        yield f"AUC difference, Obuchowski-Rockette, {n} cases, {r} readers", 0.0, first.low, first.high

    return draw


def areas(n: int, shift: float) -> Draw:
    """One evaluator with continuous scores; area = P(N(shift, 1) > N(0, 1))."""

    def draw(rng: np.random.Generator) -> Iterator[tuple[str, float, float, float]]:
        truth = np.arange(n) % 2
        scores = rng.normal(size=n) + shift * truth
        area = _below(shift / math.sqrt(2))
        for kind in ("wald", "logit"):
            found = auc(truth, scores, interval=kind)[0]  # type: ignore[arg-type]
            yield f"AUC {area:.2f}, DeLong {kind}, {n} cases", area, found.low, found.high

    return draw


def probabilities(n: int) -> Draw:
    """Outcomes with logit 0.3 + 0.7 x stated logit."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=1_000_000)
    stated, real = 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-(0.3 + 0.7 * logit)))
    number, _ = bin_numbers(stated)
    error = float(np.abs(np.bincount(number, real - stated)).sum() / len(stated))
    brier = float((real * (1 - stated) ** 2 + (1 - real) * stated**2).mean())
    benefit = float(np.where(stated >= 0.4, real - (1 - real) * 2 / 3, 0).mean())

    def draw(rng: np.random.Generator) -> Iterator[tuple[str, float, float, float]]:
        logit = rng.normal(size=n)
        stated = 1 / (1 + np.exp(-logit))
        outcome = (rng.random(n) < 1 / (1 + np.exp(-(0.3 + 0.7 * logit)))).astype(int)
        line = calibration_line(outcome, stated)
        yield f"calibration slope, {n} cases", 0.7, line.slope.low, line.slope.high
        yield f"calibration intercept, {n} cases", 0.3, line.intercept.low, line.intercept.high
        score = brier_score(outcome, stated)
        yield f"Brier score, {n} cases", brier, score.low, score.high
        ece = calibration_error(outcome, stated, resamples=200, seed=int(rng.integers(2**31)))
        yield f"calibration error, basic bootstrap, {n} cases", error, ece.low, ece.high
        point = decision_curve(outcome, stated, [0.4])[0].net_benefit
        yield f"net benefit at 0.4, {n} cases", benefit, point.low, point.high

    return draw


def pairs(n: int) -> Draw:
    """Two tests on the same n patients: 5 % second alone positive, 12 % first alone."""

    def draw(rng: np.random.Generator) -> Iterator[tuple[str, float, float, float]]:
        found = tango_interval(rng.multinomial(n, [0.7, 0.05, 0.12, 0.13]).reshape(2, 2))
        yield f"paired difference, Tango, {n} pairs", -0.07, found.low, found.high

    return draw


def main(draws: int) -> None:
    """Print one line per interval: coverage, how often there was none, and the Monte Carlo error."""
    scenes = (
        readers(64, 3),
        readers(64, 10),
        modalities(64, 4),
        areas(64, 1.0),
        areas(64, 2.5),
        probabilities(64),
        probabilities(300),
        pairs(28),
        pairs(64),
    )
    print("| interval (nominal 95 %) | coverage | no interval |\n|---|---|---|")
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([2024, index])
        held: dict[str, list[float]] = {}
        for _ in range(draws):
            for name, truth, low, high in scene(rng):
                known = math.isfinite(low) and math.isfinite(high)
                held.setdefault(name, []).append(float(low <= truth <= high) if known else math.nan)
        for name, hits in held.items():
            print(f"| {name} | {np.nanmean(hits):.3f} | {np.isnan(hits).mean():.3f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
