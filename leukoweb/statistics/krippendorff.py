"""Krippendorff's alpha: nominal, ordinal and interval, with missing reads.

alpha = 1 - D_o / D_e over the cases with two or more reads (Krippendorff 2011, "Computing Krippendorff's
alpha-reliability"). Undefined (NaN) when all reads are equal or no case has two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.agreement import check_weights
from leukoweb.statistics.classification import divide
from leukoweb.statistics.confusion import Floats, one_hot
from leukoweb.statistics.intervals import wald
from leukoweb.statistics.multirater import Coefficient, check_ratings, count_reads
from leukoweb.statistics.results import NAN, Estimate, StatisticsError


def interval_metric(n_classes: int) -> Floats:
    """Squared distance of positions 0..K-1.  # (K, K)"""
    position = np.arange(n_classes, dtype=np.float64)
    return np.asarray((position[:, None] - position) ** 2)


def krippendorff_alpha(ratings: ArrayLike, n_classes: int, metric: str = "nominal") -> float:
    """Krippendorff's alpha over the cases with two or more reads: 1 - D_o / D_e.

    ``metric``: ``nominal``; ``ordinal`` (rank metric: squared count of reads between the two classes);
    ``interval`` (positions of the declared classes). Undefined (NaN) when all reads are equal or no case has
    two. Krippendorff 2011, "Computing Krippendorff's alpha-reliability".

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(krippendorff_alpha(reads, 2), 3)
    0.556
    """
    codes = check_ratings(ratings, n_classes)
    counts: Floats = one_hot(codes, n_classes).sum(1)
    totals = counts[counts.sum(1) >= 2].sum(0)
    return float(_alpha(totals[None], _coincidences(counts).sum(0)[None], metric)[0])


def _coincidences(counts: Floats) -> Floats:
    """Coincidence matrix of each case.  # (n, K, K) from (n, K)"""
    reads = counts.sum(1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(counts.shape[1]), np.arange(counts.shape[1])] -= counts
    return np.where((reads >= 2)[:, None, None], divide(pairs, (reads - 1)[:, None, None]), 0.0)


def _alpha(totals: Floats, coincidence: Floats, metric: str) -> Floats:
    """Alpha of a stack of coincidence matrices.  # (s,) from (s, K) reads per class and (s, K, K)"""
    n_classes = totals.shape[-1]
    if metric == "nominal":
        distance = np.broadcast_to(1 - np.eye(n_classes), coincidence.shape)
    elif metric == "interval":
        distance = np.broadcast_to(interval_metric(n_classes), coincidence.shape)
    elif metric == "ordinal":
        # squared number of reads between the centres of the two classes
        middle = np.cumsum(totals, axis=-1) - totals / 2
        distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    else:
        raise StatisticsError(f"Unknown metric {metric!r}; nominal, ordinal and interval exist.", code="E_METRIC")
    n = totals.sum(-1)
    observed = (coincidence * distance).sum((-1, -2))
    expected = (totals[..., :, None] * totals[..., None, :] * distance).sum((-1, -2))
    return 1 - divide((n - 1) * observed, expected)


def krippendorff_linearised(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Krippendorff's alpha with agreement weights and its linearised standard error.

    Unweighted = nominal alpha, quadratic weights = interval alpha. The number of reads per case is random, so
    each mean is a ratio and its influence carries the term for the denominator. The small-sample factor 1 -
    1/reads of alpha is left out of the deviations, as in Gwet 2014, which makes the standard error larger by
    that factor.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(krippendorff_linearised(reads, 2).value, 3)
    0.556
    """
    w = check_weights(weights, n_classes)
    codes = check_ratings(ratings, n_classes)
    codes = codes[(codes >= 0).sum(1) >= 2]
    c = count_reads(codes, n_classes, w)
    n = c.reads.size
    if n == 0:
        return Coefficient(NAN, np.empty(0))
    mean_reads = float(c.reads.mean())
    surplus = (c.reads - mean_reads) / mean_reads
    per_case = c.agreement * c.reads / mean_reads
    correction = 1 / float(c.reads.sum())
    raw = float(per_case.mean())
    prevalence = c.counts.mean(0) / mean_reads
    expected = float(prevalence @ w @ prevalence)
    if not expected < 1:
        return Coefficient(NAN, np.full(n, NAN))
    uncorrected = (raw - expected) / (1 - expected)
    value = uncorrected + correction * (1 - uncorrected)
    observed_case = per_case - raw * surplus
    expected_case = (c.counts @ (w @ prevalence)) / mean_reads - expected * surplus
    direct = (observed_case - expected) / (1 - expected)
    casewise = direct - 2 * (1 - uncorrected) * (expected_case - expected) / (1 - expected)
    observed = (1 - correction) * raw + correction
    return Coefficient(value, casewise + (value - uncorrected), observed, expected)


def ordinal_alpha_estimate(
    ratings: ArrayLike, n_classes: int, *, level: float = 0.95, clusters: ArrayLike | None = None
) -> Estimate:
    """Ordinal alpha with a jackknife standard error over cases (or clusters) and a t interval.

    ``clusters`` has one label per case with two or more reads. Leaving a case out also changes the rank
    metric.

    Example
    -------
    >>> reads = [[0, 0], [1, 2], [2, 2], [0, 1], [1, 1]]
    >>> round(ordinal_alpha_estimate(reads, 3).estimate, 3)
    0.7
    """
    codes = check_ratings(ratings, n_classes)
    counts: Floats = one_hot(codes, n_classes).sum(1)
    counts = counts[counts.sum(1) >= 2]
    pairs = _coincidences(counts)
    totals = counts.sum(0)
    value = float(_alpha(totals[None], pairs.sum(0)[None], "ordinal")[0])
    n, unit = counts.shape[0], np.arange(counts.shape[0])
    if not np.isfinite(value):
        return Estimate.undefined(n, "undefined: all reads equal, or no case with two", level=level)
    if clusters is not None:
        unit = np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(n)
    n_units = int(unit.max()) + 1
    unit_counts, unit_pairs = np.zeros((n_units, n_classes)), np.zeros((n_units, n_classes, n_classes))
    np.add.at(unit_counts, unit, counts)
    np.add.at(unit_pairs, unit, pairs)
    without = _alpha(totals - unit_counts, pairs.sum(0) - unit_pairs, "ordinal")
    if n_units < 2 or not np.all(np.isfinite(without)):
        return Estimate(value, NAN, NAN, "none", n, None, level, note="jackknife not estimable: no interval")
    se = float(np.sqrt((n_units - 1) / n_units * ((without - without.mean()) ** 2).sum()))
    method = "jackknife-t" if clusters is None else "jackknife-t-clustered"
    return wald(value, se if se > 1e-14 else 0.0, n=n, method=method, level=level, df=float(n_units - 1))
