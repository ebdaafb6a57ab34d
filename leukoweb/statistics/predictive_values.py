"""Two binary tests on the same patients: paired differences and predictive values.

All functions take 2 x 2 tables with rows = second test (+, -) and columns = first test (+, -); differences
are second minus first. Predictive values need one table for the diseased and one for the others, because both
tests' positives enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.editions import edition
from leukoweb.statistics.results import NAN, Estimate, StatisticsError, TestResult

PredictiveValue = Literal["ppv", "npv"]


@dataclass(frozen=True, slots=True)
class PredictiveValueComparison:
    """Both predictive values with three tests and their ratio.

    ``weighted_score`` Kosinski 2013, ``score`` Leisenring et al. 2000, ``ratio`` second / first with the log
    interval and test of Moskowitz and Pepe 2006.
    """

    first: float
    second: float
    difference: float
    weighted_score: TestResult
    score: TestResult
    ratio: Estimate
    ratio_test: TestResult


def _table(counts: ArrayLike, name: str) -> FloatArray:
    table = np.asarray(counts, dtype=np.float64)
    if table.shape != (2, 2) or (table < 0).any() or not np.isfinite(table).all():
        raise StatisticsError(f"{name} must be a 2 x 2 table of counts.", code="E_SHAPE", field=name)
    return table


def tango_interval(table: ArrayLike, level: float = 0.95) -> Estimate:
    """Score interval of a paired difference of proportions, second minus first.

    With b = second test alone positive, c = first alone: the limits are the differences d for which
    (b - c - n d)^2 = z^2 n (2 q + d (1 - d)), q the restricted estimate of P(first alone). Never degenerate,
    also not without discordant pairs. Source: Tango 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B. Undefined when the table is empty.

    Example
    -------
    >>> [round(value, 3) for value in (tango_interval([[40, 6], [1, 17]]).low, tango_interval([[40, 6], [1, 17]]).high)]
    [-0.004, 0.177]
    """
    counts = _table(table, "table")
    n, b, c = float(counts.sum()), float(counts[0, 1]), float(counts[1, 0])
    if n == 0:
        return Estimate.undefined(0, "No pair of answers.", level=level)
    z2 = float(scipy.stats.chi2.ppf(level, 1))
    estimate = (b - c) / n

    def excess(d: float) -> float:
        linear = (2 * n - b + c) * d - b - c
        q = (np.sqrt(max(linear**2 + 8 * n * c * d * (1 - d), 0.0)) - linear) / (4 * n)
        return float((b - c - n * d) ** 2 - z2 * n * max(2 * q + d * (1 - d), 0.0))

    if max(b, c, n - b - c) == n and edition() > 1:
        # All pairs in one cell: the equation holds at the estimate too, and its other root has a closed form.
        low, high = _one_cell(n, int(np.sign(b - c)), z2)
    else:
        low = -1.0 if excess(-1.0) <= 0 else scipy.optimize.brentq(excess, -1.0, estimate, xtol=1e-13)
        high = 1.0 if excess(1.0) <= 0 else scipy.optimize.brentq(excess, estimate, 1.0, xtol=1e-13)
    return Estimate(estimate, float(low), float(high), "tango", int(n), level=level)


def _one_cell(n: float, side: int, z2: float) -> tuple[float, float]:
    """Tango's limits where no pair is discordant (``side`` 0), or every pair is so, all for one test (1 or -1)."""
    if side == 0:
        return -z2 / (n + z2), z2 / (n + z2)
    near = (n - z2) / (n + z2)
    return (near, 1.0) if side > 0 else (-1.0, -near)


def compare_predictive_values(
    diseased: ArrayLike, nondiseased: ArrayLike, which: PredictiveValue = "ppv", level: float = 0.95
) -> PredictiveValueComparison:
    """Compare PPV or NPV of two tests on the same patients.

    Notes
    -----
    With D = diseased, T = second test, over all positive results (PPV) of both tests, both scores divide the
    squared sum of D (T - mean T) by a variance: summed per patient of (D - mean D)(T - mean T) (Leisenring),
    or pooled (PV (1 - PV) - 2 C)(1/n1 + 1/n2), C from the patients with both results (Kosinski). NPV:
    negative results, the non-diseased counted. NaN when a test has no such result or all agree.

    Sources: Leisenring, Alonzo and Pepe 2000, doi:10.1111/j.0006-341X.2000.00345.x; Kosinski 2013,
    doi:10.1002/sim.5587; Moskowitz and Pepe 2006, doi:10.1191/1740774506cn147oa.

    Examples
    --------
    >>> result = compare_predictive_values([[40, 4], [0, 1]], [[8, 14], [5, 42]])
    >>> round(result.first, 4), round(result.second, 4), round(result.weighted_score.p, 4)
    (0.7547, 0.6667, 0.0964)
    """
    hit, miss = _table(diseased, "diseased"), _table(nondiseased, "nondiseased")
    if which == "npv":
        # The negative results are the positive ones of the reversed tests, and the non-diseased what they
        # should find.
        hit, miss = miss[::-1, ::-1], hit[::-1, ::-1]
    n = int(hit.sum() + miss.sum())
    hits_first, hits_second = hit[:, 0].sum(), hit[0].sum()
    n_first, n_second = hits_first + miss[:, 0].sum(), hits_second + miss[0].sum()
    first = float(hits_first / n_first) if n_first else NAN
    second = float(hits_second / n_second) if n_second else NAN
    ratio, ratio_test = _ratio(hit, miss, first, second, n, level)
    return PredictiveValueComparison(
        first=first,
        second=second,
        difference=second - first,
        weighted_score=_weighted_score(hit, miss, second - first, n),
        score=_score(hit, miss, n),
        ratio=ratio,
        ratio_test=ratio_test,
    )


def _chi_square(numerator: float, variance: float, method: str, n: int) -> TestResult:
    if not variance > 0:
        return TestResult(NAN, 1, NAN, method, n, note="The variance is 0: the tests cannot be compared.")
    statistic = numerator / variance
    return TestResult(statistic, 1, float(scipy.stats.chi2.sf(statistic, 1)), method, n)


def _weighted_score(hit: FloatArray, miss: FloatArray, difference: float, n: int) -> TestResult:
    n_first, n_second = (hit + miss)[:, 0].sum(), (hit + miss)[0].sum()
    if not n_first or not n_second:
        return _chi_square(NAN, 0.0, "weighted-generalized-score", n)
    pooled = (hit[:, 0].sum() + hit[0].sum()) / (n_first + n_second)
    both = (hit[0, 0] * (1 - pooled) ** 2 + miss[0, 0] * pooled**2) / (n_first + n_second)
    variance = (pooled * (1 - pooled) - 2 * both) * (1 / n_first + 1 / n_second)
    return _chi_square(difference**2, float(variance), "weighted-generalized-score", n)


def _score(hit: FloatArray, miss: FloatArray, n: int) -> TestResult:
    n_first, n_second = (hit + miss)[:, 0].sum(), (hit + miss)[0].sum()
    if not n_first or not n_second:
        return _chi_square(NAN, 0.0, "generalized-score", n)
    share = n_second / (n_first + n_second)
    pooled = (hit[:, 0].sum() + hit[0].sum()) / (n_first + n_second)
    # What one patient adds to sum(T - mean T): both tests positive, second alone, first alone.
    weights = np.array([1 - 2 * share, 1 - share, -share])
    hits = np.array([hit[0, 0], hit[0, 1], hit[1, 0]])
    misses = np.array([miss[0, 0], miss[0, 1], miss[1, 0]])
    total = float(hits @ weights)
    variance = float((hits * (1 - pooled) ** 2 + misses * pooled**2) @ weights**2)
    return _chi_square(total**2, variance, "generalized-score", n)


def _ratio(
    hit: FloatArray, miss: FloatArray, first: float, second: float, n: int, level: float
) -> tuple[Estimate, TestResult]:
    if not (first > 0 and second > 0):
        undefined = Estimate.undefined(n, "A predictive value is 0 or undefined.", level=level)
        return undefined, TestResult(NAN, None, NAN, "log-ratio", n, note=undefined.note)
    hits_first, hits_second = hit[:, 0].sum(), hit[0].sum()
    n_first, n_second = (hit + miss)[:, 0].sum(), (hit + miss)[0].sum()
    second_positive, first_positive = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    # Influence of one patient of each cell on log(second / first), by the delta method.
    all_results = second_positive / n_second - first_positive / n_first
    of_hit = second_positive / hits_second - first_positive / hits_first - all_results
    variance = float((hit * of_hit**2 + miss * all_results**2).sum())
    ratio = second / first
    if not variance > 0:
        note = "The standard error is 0: no interval."
        return (
            Estimate(ratio, NAN, NAN, "none", n, se=0.0, level=level, note=note),
            TestResult(NAN, None, NAN, "log-ratio", n, note=note),
        )
    se = float(np.sqrt(variance))
    half = float(scipy.stats.norm.ppf((1 + level) / 2)) * se
    z = float(np.log(ratio)) / se
    estimate = Estimate(
        ratio,
        float(ratio * np.exp(-half)),
        float(ratio * np.exp(half)),
        "log-ratio",
        n,
        se=se,
        level=level,
        note="se is of the logarithm.",
    )
    return estimate, TestResult(z, None, float(2 * scipy.stats.norm.sf(abs(z))), "log-ratio", n)
