"""Are the AI's probabilities what they say? Reliability, Brier score, calibration error, slope and intercept.

Binary throughout: ``outcome`` (n,) is 0/1 and ``probability`` (n,) the stated probability of a 1. For several classes
take one class against the rest, or :func:`top_label`: was the most probable class right, and how sure was the model.
One row per patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukoweb.statistics.covariance import FloatArray, truth_vector
from leukoweb.statistics.intervals import proportion, wald, z_quantile
from leukoweb.statistics.results import NAN, Estimate, StatisticsError

Bins = Literal["uniform", "quantile"]
# A stated probability of 0 or 1 has no logit; it is taken as this far from certainty.
CERTAIN = 1e-6
_CHUNK = 4_000_000  # numbers in one piece of the bootstrap's weights


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cases whose stated probability lies in [low, high) (the last bin includes 1)."""

    low: float
    high: float
    mean_probability: float
    observed: Estimate


@dataclass(frozen=True, slots=True)
class BrierParts:
    """brier = reliability - resolution + uncertainty + within, exactly.

    ``reliability`` weighted squared distance of stated and observed share per bin (0 is best); ``resolution`` how far
    the observed shares differ from the prevalence; ``uncertainty`` prevalence x (1 - prevalence); ``within`` what the
    bins blur (0 when all cases of a bin state the same). Murphy 1973,
    doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; Stephenson et al. 2008, doi:10.1175/2007WAF2006116.1.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Logistic recalibration: logit(outcome) = intercept + slope x logit(probability).

    ``slope`` below 1: too extreme. ``in_the_large`` is the intercept with the slope held at 1: above 0, the stated
    probabilities are too low on average. Wald intervals. ``n_clipped`` probabilities of 0 or 1 were moved inwards by
    ``CERTAIN``. Source: Cox 1958; Van Calster et al. 2016, doi:10.1016/j.jclinepi.2015.12.005.
    """

    intercept: Estimate
    slope: Estimate
    in_the_large: Estimate
    n_clipped: int


def checked(outcome: ArrayLike, probability: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Outcomes as 0.0/1.0 and probabilities, both (n,). Errors: StatisticsError for anything else."""
    stated = np.asarray(probability, dtype=np.float64)
    if stated.ndim != 1 or not len(stated):
        raise StatisticsError(f"Probabilities of shape {stated.shape}; (n,) with n > 0 is needed.", code="E_SHAPE")
    happened = truth_vector(outcome, len(stated)).astype(np.float64)
    if not ((stated >= 0) & (stated <= 1)).all():
        raise StatisticsError(
            "A probability is missing or lies outside 0 to 1.",
            code="E_PROBABILITY",
            field="probability",
            hint="Scores that are no probabilities have an ROC curve, but no calibration.",
        )
    return happened, stated


def top_label(reference: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], FloatArray]:
    """Whether the most probable class was right (n,), and its probability (n,).

    ``reference`` (n,) holds class numbers, ``probabilities`` (n, n_classes) sum to 1 per row (to 1e-3). The first
    class wins a tie.
    """
    stated = np.asarray(probabilities, dtype=np.float64)
    if stated.ndim != 2 or not np.allclose(stated.sum(axis=1), 1.0, atol=1e-3):
        raise StatisticsError("Probabilities of all classes must add up to 1 in every row.", code="E_PROBABILITY")
    best = stated.argmax(axis=1)
    return (best == np.asarray(reference)).astype(np.int64), stated[np.arange(len(stated)), best]


def bin_numbers(probability: ArrayLike, bins: int = 10, kind: Bins = "uniform") -> tuple[NDArray[np.int64], FloatArray]:
    """Bin of each case (n,) and the edges; ``uniform`` widths, or ``quantile``: as many cases in each (ties stay
    together).
    """
    stated = np.asarray(probability, dtype=np.float64)
    if bins < 1:
        raise StatisticsError(f"At least 1 bin is needed, not {bins}.", code="E_BINS", field="bins")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if kind == "quantile":
        inner = np.unique(np.quantile(stated, edges[1:-1]))
        edges = np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])
    return np.minimum(np.searchsorted(edges, stated, side="right") - 1, len(edges) - 2).astype(np.int64), edges


def reliability_curve(
    outcome: ArrayLike, probability: ArrayLike, *, bins: int = 10, kind: Bins = "uniform", level: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """Observed share with interval against mean stated probability, bin by bin; empty bins are left out.

    Examples
    --------
    >>> curve = reliability_curve([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2)
    >>> [(b.mean_probability, b.observed.estimate) for b in curve]
    [(0.2, 0.5), (0.9, 1.0)]
    """
    happened, stated = checked(outcome, probability)
    number, edges = bin_numbers(stated, bins, kind)
    out = []
    for k in np.unique(number):
        inside = number == k
        observed = proportion(int(happened[inside].sum()), int(inside.sum()), level=level)
        out.append(ReliabilityBin(float(edges[k]), float(edges[k + 1]), float(stated[inside].mean()), observed))
    return tuple(out)


def brier_score(outcome: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean squared distance of probability and outcome, with a normal interval from its spread over cases.

    Example
    -------
    >>> round(brier_score([1, 0, 1, 0], [0.9, 0.2, 0.6, 0.4]).estimate, 4)
    0.0925
    """
    happened, stated = checked(outcome, probability)
    loss = (stated - happened) ** 2
    se = float(loss.std(ddof=1) / np.sqrt(len(loss))) if len(loss) > 1 else NAN
    return wald(float(loss.mean()), se, n=len(loss), method="mean-of-cases", level=level)


def brier_parts(outcome: ArrayLike, probability: ArrayLike, *, bins: int = 10, kind: Bins = "uniform") -> BrierParts:
    """Brier score taken apart; see :class:`BrierParts`."""
    happened, stated = checked(outcome, probability)
    number, _ = bin_numbers(stated, bins, kind)
    weight = np.bincount(number) / len(stated)
    filled = weight > 0
    share = np.bincount(number, happened)[filled] / (weight[filled] * len(stated))
    said = np.bincount(number, stated)[filled] / (weight[filled] * len(stated))
    prevalence = float(happened.mean())
    brier = float(((stated - happened) ** 2).mean())
    reliability = float((weight[filled] * (said - share) ** 2).sum())
    resolution = float((weight[filled] * (share - prevalence) ** 2).sum())
    uncertainty = prevalence * (1 - prevalence)
    # Spread of the probabilities inside bins, less twice how it goes along with the outcome.
    centre = np.zeros(len(filled))
    centre[filled] = said
    apart = stated - centre[number]
    within = float((apart**2).mean() - 2 * (apart * happened).mean())
    return BrierParts(brier, reliability, resolution, uncertainty, within)


def calibration_error(
    outcome: ArrayLike,
    probability: ArrayLike,
    *,
    bins: int = 10,
    kind: Bins = "uniform",
    resamples: int = 2000,
    seed: int = 1,
    level: float = 0.95,
) -> Estimate:
    """Expected calibration error: mean over cases of |observed - stated| of their bin.

    The interval is a basic (reflected) case bootstrap on the same bins, cut at 0: the error is biased upwards in
    small samples, and a percentile interval would carry that bias twice. No interval with ``resamples=0`` or a single
    case.

    Example
    -------
    >>> round(calibration_error([1, 0, 1, 0], [0.9, 0.2, 0.6, 0.4], bins=2, resamples=100).estimate, 3)
    0.275
    """
    happened, stated = checked(outcome, probability)
    number, edges = bin_numbers(stated, bins, kind)
    gaps = np.zeros((len(stated), len(edges) - 1))
    gaps[np.arange(len(stated)), number] = happened - stated
    n = len(stated)
    estimate = float(np.abs(gaps.sum(axis=0)).sum() / n)
    if resamples < 1 or n < 2:
        return Estimate(estimate, NAN, NAN, "none", n, level=level, note="No resamples, no interval.")
    generator, left, drawn = np.random.default_rng(seed), resamples, []
    while left:
        rows = min(left, max(1, _CHUNK // n))
        weights = generator.multinomial(n, np.full(n, 1 / n), size=rows)
        drawn.append(np.abs(weights @ gaps).sum(axis=1) / n)
        left -= rows
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    limits = max(0.0, 2 * estimate - float(high)), max(0.0, 2 * estimate - float(low))
    return Estimate(estimate, *limits, "bootstrap-basic", n, level=level, note=f"{resamples} resamples, seed {seed}")


def calibration_line(outcome: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> CalibrationLine:
    """Calibration slope and intercept by maximum likelihood.

    Undefined (NaN, with a note) when all outcomes are alike, when all probabilities are (slope and intercept only),
    or when a threshold separates the outcomes perfectly, so that the likelihood has no maximum.
    """
    happened, stated = checked(outcome, probability)
    inside = np.clip(stated, CERTAIN, 1 - CERTAIN)
    logit = np.log(inside / (1 - inside))
    n, n_clipped = len(stated), int((inside != stated).sum())
    if happened.min() == happened.max():
        nothing = Estimate.undefined(n, "All outcomes are alike.", level=level)
        return CalibrationLine(nothing, nothing, nothing, n_clipped)
    offset = _fit(np.ones((n, 1)), happened, logit)
    in_the_large = _coefficient(offset, 0, n, level)
    if logit.min() == logit.max():
        nothing = Estimate.undefined(n, "All probabilities are alike.", level=level)
        return CalibrationLine(nothing, nothing, in_the_large, n_clipped)
    one, zero = logit[happened == 1], logit[happened == 0]
    if one.min() >= zero.max() or one.max() <= zero.min():
        nothing = Estimate.undefined(n, "A threshold separates the outcomes: no maximum likelihood.", level=level)
        return CalibrationLine(nothing, nothing, in_the_large, n_clipped)
    line = _fit(np.column_stack([np.ones(n), logit]), happened, np.zeros(n))
    return CalibrationLine(_coefficient(line, 0, n, level), _coefficient(line, 1, n, level), in_the_large, n_clipped)


def _fit(design: FloatArray, outcome: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Coefficients and covariance of a logistic regression by Newton steps that never lower the likelihood; None if
    lost.
    """
    beta = np.zeros(design.shape[1])

    def likelihood(at: FloatArray) -> float:
        eta = design @ at + offset
        return float((outcome * eta - np.logaddexp(0.0, eta)).sum())

    for _ in range(100):
        fitted = 1 / (1 + np.exp(-np.clip(design @ beta + offset, -700, 700)))
        information = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e14:
            return None
        step = np.linalg.solve(information, design.T @ (outcome - fitted))
        while likelihood(beta + step) < likelihood(beta) - 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            return beta, np.asarray(np.linalg.inv(information), dtype=np.float64)
    return None


def _coefficient(fit: tuple[FloatArray, FloatArray] | None, index: int, n: int, level: float) -> Estimate:
    if fit is None:
        return Estimate.undefined(n, "The likelihood has no maximum.", level=level)
    value, se = float(fit[0][index]), float(np.sqrt(fit[1][index, index]))
    half = z_quantile(level) * se
    return Estimate(value, value - half, value + half, "logistic-wald", n, se=se, level=level)
