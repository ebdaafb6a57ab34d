"""Tests for reads of the same cases by two or more evaluators.

Correct or not, two evaluators: McNemar. Correct or not, several: Cochran's Q. K classes, two evaluators:
marginal homogeneity (Stuart-Maxwell, Bhapkar) and symmetry (Bowker). Several tests in one report are adjusted
by Holm.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.confusion import Floats
from leukoweb.statistics.editions import edition
from leukoweb.statistics.intervals import z_quantile
from leukoweb.statistics.predictive_values import tango_interval
from leukoweb.statistics.results import NAN, Estimate, StatisticsError, TestResult

McNemar = Literal["exact", "mid-p", "chi-square", "corrected"]


def mcnemar(b: int, c: int, *, n: int | None = None, method: McNemar = "exact") -> TestResult:
    """McNemar's test from the discordant counts (b = only the first positive, c = only the second).

    ``exact``: two-sided binomial, 2 P(X <= min(b, c)) capped at 1; ``mid-p``: the exact p less P(X = min(b, c)), at
    b = c less half of it (Fagerland, Lydersen, Laake 2013, doi:10.1186/1471-2288-13-91); ``chi-square``
    (b-c)^2/(b+c); ``corrected`` (|b-c|-1)^2/(b+c) (Edwards 1948, doi:10.1007/BF02289261), which is above 0 also at
    b = c. The statistic of the first two is min(b, c). Without a discordant case the exact tests give p = 1 and the
    chi-squares are undefined; without a case (``n`` 0) all are.

    Example
    -------
    >>> round(mcnemar(1, 6).p, 4), round(mcnemar(1, 6, method="mid-p").p, 4)
    (0.125, 0.0703)
    """
    if b < 0 or c < 0:
        raise StatisticsError(f"Discordant counts cannot be negative, found {b} and {c}.", code="E_TABLE")
    total, smaller = b + c, min(b, c)
    cases = total if n is None else n
    name = f"McNemar {method}"
    if cases == 0 and n is not None and edition() > 3:
        return TestResult(NAN, None if method in ("exact", "mid-p") else 1.0, NAN, name, 0, "no case read by both")
    if method in ("exact", "mid-p"):
        p = min(1.0, 2 * float(scipy.stats.binom.cdf(smaller, total, 0.5))) if total else 1.0
        if method == "mid-p" and total:
            p -= float(scipy.stats.binom.pmf(smaller, total, 0.5)) * (0.5 if b == c and edition() > 1 else 1.0)
        return TestResult(float(smaller), None, p, name, cases)
    if total == 0:
        return TestResult(NAN, 1.0, NAN, name, cases, "no discordant case")
    gap = abs(b - c) - (1 if method == "corrected" else 0)
    statistic = gap**2 / total
    return TestResult(statistic, 1.0, float(scipy.stats.chi2.sf(statistic, 1)), name, cases)


def discordant(first: ArrayLike, second: ArrayLike) -> tuple[int, int, int]:
    """b, c and n from two columns of 1 (yes), 0 (no), NaN (not read), over the cases that both read."""
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    both = np.isfinite(left) & np.isfinite(right)
    yes, other = left[both] > 0, right[both] > 0
    return int((yes & ~other).sum()), int((~yes & other).sum()), int(both.sum())


def cochran_q(success: ArrayLike) -> TestResult:
    """Cochran's Q: do several evaluators succeed equally often on the same cases?  # (n, R) of 1, 0, NaN

    Complete cases. df = R - 1. Undefined when every case has all or none (no information). Cochran 1950,
    doi:10.1093/biomet/37.3-4.256.

    Example
    -------
    >>> correct = [[1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]]
    >>> round(cochran_q(correct).statistic, 3), cochran_q(correct).df
    (4.667, 2.0)
    """
    table = np.asarray(success, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise StatisticsError(f"Cochran's Q needs cases x evaluators, not shape {table.shape}.", code="E_RATERS")
    table = table[np.all(np.isfinite(table), axis=1)]
    n, raters = table.shape
    columns, rows = table.sum(0), table.sum(1)
    bottom = raters * float(rows.sum()) - float((rows**2).sum())
    if bottom <= 0:
        return TestResult(NAN, float(raters - 1), NAN, "Cochran Q", n, "no case on which evaluators differ")
    top = (raters - 1) * (raters * float((columns**2).sum()) - float(columns.sum()) ** 2)
    statistic = top / bottom
    return TestResult(statistic, float(raters - 1), float(scipy.stats.chi2.sf(statistic, raters - 1)), "Cochran Q", n)


def _square(table: ArrayLike) -> Floats:
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or np.any(counts < 0):
        raise StatisticsError(f"The test needs a square table of counts, not shape {counts.shape}.", code="E_TABLE")
    return counts


def _quadratic_form(difference: Floats, covariance: Floats) -> tuple[float, int]:
    """d' V^- d with the generalised inverse, and the rank of V (the degrees of freedom)."""
    values, vectors = np.linalg.eigh(covariance)
    keep = values > max(float(values.max()), 0.0) * 1e-10
    along = vectors[:, keep].T @ difference
    return float((along**2 / values[keep]).sum()), int(keep.sum())


def _marginal(table: ArrayLike, name: str, *, bhapkar_form: bool) -> TestResult:
    counts = _square(table)
    n = int(counts.sum())
    difference = counts.sum(1) - counts.sum(0)
    covariance = np.diag(counts.sum(1) + counts.sum(0)) - counts - counts.T
    statistic, df = _quadratic_form(difference, covariance)
    if df == 0:
        return TestResult(NAN, 0.0, NAN, name, n, "no discordant case")
    if bhapkar_form:
        if statistic >= n * (1 - 1e-12):
            return TestResult(NAN, float(df), NAN, name, n, "every case is discordant in one direction")
        statistic = statistic / (1 - statistic / n)
    return TestResult(statistic, float(df), float(scipy.stats.chi2.sf(statistic, df)), name, n)


def stuart_maxwell(table: ArrayLike) -> TestResult:
    """Marginal homogeneity of two raters over K classes.  # from (K, K)

    d' V^- d, d = row sums - column sums, V_ii = n_i. + n_.i - 2 n_ii, V_ij = -(n_ij + n_ji); generalised
    inverse, df = rank(V), so classes without a discordant case drop out (Stuart 1955,
    doi:10.1093/biomet/42.3-4.412; Maxwell 1970). Undefined without a discordant case.

    Example
    -------
    >>> round(stuart_maxwell([[20, 10, 5], [3, 30, 15], [0, 5, 40]]).statistic, 3)
    13.765
    """
    return _marginal(table, "Stuart-Maxwell", bhapkar_form=False)


def bhapkar(table: ArrayLike) -> TestResult:
    """Marginal homogeneity with the unrestricted covariance: X2 / (1 - X2/n) with X2 of Stuart-Maxwell.

    Bhapkar 1966, doi:10.1080/01621459.1966.10502021. Undefined without a discordant case, or where X2 reaches
    n.

    Example
    -------
    >>> round(bhapkar([[20, 10, 5], [3, 30, 15], [0, 5, 40]]).statistic, 3)
    15.423
    """
    return _marginal(table, "Bhapkar", bhapkar_form=True)


def bowker(table: ArrayLike, *, all_pairs: bool = False) -> TestResult:
    """Symmetry: sum (n_ij - n_ji)^2 / (n_ij + n_ji) over the pairs of classes with a discordant case.  # from
    (K, K)

    df counts those pairs, or all K(K-1)/2 with ``all_pairs``. Undefined without a discordant case. Bowker
    1948, doi:10.1080/01621459.1948.10483284.

    Example
    -------
    >>> round(bowker([[20, 10, 5], [3, 30, 15], [0, 5, 40]]).statistic, 3)
    13.769
    """
    counts = _square(table)
    upper = np.triu_indices(counts.shape[0], 1)
    one, other = counts[upper], counts.T[upper]
    used = (one + other) > 0
    n, df = int(counts.sum()), int(used.size if all_pairs else used.sum())
    if not used.any():
        return TestResult(NAN, float(df), NAN, "Bowker", n, "no discordant case")
    statistic = float(((one[used] - other[used]) ** 2 / (one[used] + other[used])).sum())
    return TestResult(statistic, float(df), float(scipy.stats.chi2.sf(statistic, df)), "Bowker", n)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p values, NaN staying NaN and outside the family.  # same shape (m,)

    Holm 1979, Scand J Statist 6:65-70. Never smaller than the input, never above 1.

    Example
    -------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = order.size - np.arange(order.size)
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors)) if order.size else []
    return out


def paired_difference(b: int, c: int, n: int, *, level: float = 0.95) -> Estimate:
    """Difference of two proportions on the same n cases, (b - c)/n, with Tango's score interval.

    b = only the first positive, c = only the second. Undefined without cases. See ``tango_interval``.

    Example
    -------
    >>> [round(value, 3) for value in (paired_difference(6, 1, 64).estimate, paired_difference(6, 1, 64).low)]
    [0.078, -0.004]
    """
    if n < 0 or b < 0 or c < 0 or b + c > n:
        raise StatisticsError(f"Discordant counts {b} and {c} do not fit {n} cases.", code="E_TABLE")
    return tango_interval([[n - b - c, b], [c, 0]], level)


def agresti_min(b: int, c: int, n: int, *, level: float = 0.95) -> Estimate:
    """The same difference with half a case added to each cell before a Wald interval.

    Agresti and Min 2005, doi:10.1002/sim.1781. The estimate is the plain (b - c)/n.

    Example
    -------
    >>> round(agresti_min(6, 1, 64).low, 3)
    -0.006
    """
    if n == 0:
        return Estimate.undefined(0, "no case read by both", level=level)
    centre = (b - c) / (n + 2)
    se = float(np.sqrt(max(b + c + 1 - (b - c) ** 2 / (n + 2), 0.0))) / (n + 2)
    z = z_quantile(level)
    return Estimate((b - c) / n, centre - z * se, centre + z * se, "agresti-min", n, None, level)
