"""Agreement of two raters (or of two sessions of one reader): Cohen's kappa and its relatives.

The diagnoses are nominal: the headline kappa is unweighted. A weighted kappa needs an explicit order of the
declared classes or a stored weight matrix, because it changes with the order. All functions work on stacks of
tables with rows = first rater, columns = second rater.

kappa_w = (po - pe) / (1 - pe) with po = sum w_ij p_ij and pe = sum w_ij p_i. p_.j. Undefined (NaN) when pe =
1, that is when both raters always use the same single class. Two standard errors (Fleiss, Cohen and Everitt
1969, doi:10.1037/h0028106): the non-null one is for intervals, the null one for the z test of kappa = 0 and
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.classification import divide
from leukoweb.statistics.confusion import Floats, Ints, check_codes, marginals, pair_cells, pairwise_tables
from leukoweb.statistics.intervals import f1_interval, wald
from leukoweb.statistics.results import NAN, Estimate, StatisticsError, TestResult, to_json_value

ROUNDING = 1e-14  # a variance that is 0 comes out as about 1e-17, and its root would be 1e-9


def identity_weights(n_classes: int) -> Floats:
    """Agreement only on the diagonal: unweighted kappa.  # (K, K)"""
    return np.eye(n_classes)


def linear_weights(n_classes: int) -> Floats:
    """1 - |i-j| / (K-1) on the declared order, used or not.  # (K, K)

    Example
    -------
    >>> linear_weights(3)[0].tolist()
    [1.0, 0.5, 0.0]
    """
    position = np.arange(n_classes)
    return np.asarray(1 - np.abs(position[:, None] - position) / (n_classes - 1), dtype=np.float64)


def quadratic_weights(n_classes: int) -> Floats:
    """1 - (i-j)^2 / (K-1)^2 on the declared order, used or not.  # (K, K)

    Example
    -------
    >>> quadratic_weights(3)[0].tolist()
    [1.0, 0.75, 0.0]
    """
    position = np.arange(n_classes)
    return np.asarray(1 - (position[:, None] - position) ** 2 / (n_classes - 1) ** 2, dtype=np.float64)


def ordinal_weights(n_classes: int) -> Floats:
    """1 - C(|i-j|+1, 2) / C(K, 2): Gwet's ordinal weights on the declared order.  # (K, K)

    Example
    -------
    >>> ordinal_weights(4)[0].round(3).tolist()
    [1.0, 0.833, 0.5, 0.0]
    """
    distance = np.abs(np.arange(n_classes)[:, None] - np.arange(n_classes)).astype(np.float64)
    return np.asarray(1 - (distance * (distance + 1)) / (n_classes * (n_classes - 1)))


def check_weights(weights: ArrayLike | None, n_classes: int) -> Floats:
    """Agreement weights; None is unweighted.  # (K, K)

    Errors: another shape, values outside 0..1, a diagonal that is not 1, or an asymmetric matrix.
    """
    if weights is None:
        return identity_weights(n_classes)
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (n_classes, n_classes):
        raise StatisticsError(
            f"The weights have shape {matrix.shape}, expected ({n_classes}, {n_classes}).", code="E_WEIGHTS"
        )
    if not (np.all(matrix >= 0) and np.all(matrix <= 1) and np.allclose(np.diag(matrix), 1)):
        raise StatisticsError("Agreement weights lie in 0..1 with 1 on the diagonal.", code="E_WEIGHTS")
    if not np.allclose(matrix, matrix.T):
        raise StatisticsError("Agreement weights must be symmetric.", code="E_WEIGHTS")
    return matrix


@dataclass(frozen=True, slots=True)
class KappaArrays:
    """Kappas of a stack of tables.  # each (...)"""

    kappa: Floats
    se: Floats
    se_null: Floats
    observed: Floats
    expected: Floats
    n: Floats


def kappa_values(tables: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Cohen's kappa only, for resampled tables.  # (...) from (..., K, K)

    Example
    -------
    >>> kappa_values([[[5, 0], [0, 5]], [[5, 5], [5, 5]]]).tolist()
    [1.0, 0.0]
    """
    counts = np.asarray(tables, dtype=np.float64)
    rows, cols, diagonal = marginals(counts)
    n = rows.sum(-1)
    if weights is None:
        observed, chance = diagonal.sum(-1), (rows * cols).sum(-1)
    else:
        w = check_weights(weights, counts.shape[-1])
        observed = counts.reshape(*counts.shape[:-2], w.size) @ w.ravel()
        chance = ((rows @ w) * cols).sum(-1)
    return divide(n * observed - chance, n**2 - chance)


def kappa_arrays(tables: ArrayLike, weights: ArrayLike | None = None) -> KappaArrays:
    """Kappa with both standard errors for a stack of tables.  # (...) from (..., K, K)"""
    counts = np.asarray(tables, dtype=np.float64)
    w = check_weights(weights, counts.shape[-1])
    n = counts.sum((-1, -2))
    p = divide(counts, n[..., None, None])
    rows, cols = p.sum(-1), p.sum(-2)
    observed = np.einsum("...ij,ij->...", p, w)
    expected = np.einsum("...i,ij,...j->...", rows, w, cols)
    kappa = divide(observed - expected, 1 - expected)
    # w_i. = sum_j w_ij p_.j and w_.j = sum_i w_ij p_i.
    mean = (cols @ w.T)[..., :, None] + (rows @ w)[..., None, :]
    spread = (p * (w - mean * (1 - kappa)[..., None, None]) ** 2).sum((-1, -2))
    null_spread = (rows[..., :, None] * cols[..., None, :] * (w - mean) ** 2).sum((-1, -2))
    scale = n * (1 - expected) ** 2
    se, se_null = (
        np.sqrt(np.maximum(divide(np.where(variance < ROUNDING, 0.0, variance), scale), 0.0))
        for variance in (spread - (kappa - expected * (1 - kappa)) ** 2, null_spread - expected**2)
    )
    undefined = np.isnan(kappa)
    return KappaArrays(kappa, np.where(undefined, NAN, se), np.where(undefined, NAN, se_null), observed, expected, n)


@dataclass(frozen=True, slots=True)
class Kappa:
    """One kappa.

    Attributes
    ----------
    result
        Estimate with the analytic interval kappa +/- z * se (not clipped) or a bootstrap one.
    se_null
        Standard error under kappa = 0, for ``z`` and ``p`` only.
    observed, expected
        (Weighted) observed and chance agreement.
    """

    result: Estimate
    se_null: float
    observed: float
    expected: float

    @property
    def z(self) -> float:
        """Kappa divided by its null standard error; NaN where that is 0."""
        return self.result.estimate / self.se_null if self.se_null > 0 else NAN

    @property
    def p(self) -> float:
        """Two-sided p of kappa = 0."""
        return float(2 * scipy.stats.norm.sf(abs(self.z)))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        base = self.result.as_dict()
        base.setdefault("se", None)
        extra = {"se_null": self.se_null, "z": self.z, "p": self.p}
        plain: dict[str, Any] = to_json_value(
            {**base, **extra, "observed_agreement": self.observed, "expected_agreement": self.expected}
        )
        return plain


def cohen_kappa(table: ArrayLike, weights: ArrayLike | None = None, *, level: float = 0.95) -> Kappa:
    """Cohen's kappa of one table with its non-null interval.  # from (K, K)

    Undefined when both raters use one and the same class only, or without cases. No interval when the
    standard error is 0 (perfect agreement).

    Example
    -------
    >>> k = cohen_kappa([[38, 5, 0, 1], [33, 11, 3, 0], [10, 14, 5, 6], [3, 7, 3, 10]])
    >>> round(k.result.estimate, 6), round(k.result.se, 6)
    (0.207942, 0.050455)
    """
    a = kappa_arrays(table, weights)
    return kappa_at(a, (), level=level)


def kappa_at(arrays: KappaArrays, index: tuple[int, ...], *, level: float = 0.95) -> Kappa:
    """One element of a stack as a ``Kappa`` with the analytic interval.

    Example
    -------
    >>> round(kappa_at(kappa_arrays([[[8, 2], [1, 9]]]), (0,)).result.estimate, 3)
    0.7
    """
    value, se, n = float(arrays.kappa[index]), float(arrays.se[index]), int(arrays.n[index])
    if n == 0:
        return Kappa(Estimate.undefined(0, "no case read by both", level=level), NAN, NAN, NAN)
    result = wald(value, se, n=n, method="fleiss-cohen-everitt", level=level)
    if not np.isfinite(value):
        result = Estimate.undefined(n, "both raters use one and the same class only", level=level)
    return Kappa(result, float(arrays.se_null[index]), float(arrays.observed[index]), float(arrays.expected[index]))


def pairwise_kappa(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> KappaArrays:
    """Kappas of all pairs of raters, each over the cases that both read.  # (R, R) from (n, R)

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> pairwise_kappa(reads, 2).kappa[0].round(3).tolist()
    [1.0, 0.667, 0.167]
    """
    return kappa_arrays(pairwise_tables(check_codes(ratings, n_classes), n_classes), weights)


def pabak(table: ArrayLike) -> Floats:
    """Prevalence- and bias-adjusted kappa (K po - 1)/(K - 1), for two classes 2 po - 1.  # (...)

    Byrt, Bishop and Carlin 1993, doi:10.1016/0895-4356(93)90018-V; for K classes this is Brennan and
    Prediger's coefficient.

    Example
    -------
    >>> round(float(pabak([[8, 2], [1, 9]])), 3)
    0.7
    """
    counts = np.asarray(table, dtype=np.float64)
    n_classes = counts.shape[-1]
    observed = divide(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-1, -2)))
    return np.asarray((n_classes * observed - 1) / (n_classes - 1))


def positive_agreement(table: ArrayLike, *, level: float = 0.95) -> list[Estimate]:
    """Positive (specific) agreement per class, 2 n_kk / (n_k. + n_.k), with its interval.  # K estimates

    Undefined for a class that neither rater used. Interval through the fraction n_kk / (n_k. + n_.k - n_kk),
    as for F1.

    Example
    -------
    >>> [round(e.estimate, 3) for e in positive_agreement([[8, 2], [1, 9]])]
    [0.842, 0.857]
    """
    counts = np.asarray(table, dtype=np.float64)
    out = []
    for k in range(counts.shape[0]):
        both = counts[k, k]
        first, second = counts[k].sum() - both, counts[:, k].sum() - both
        top, bottom = 2 * both, 2 * both + first + second
        if bottom == 0:
            out.append(Estimate.undefined(0, "neither rater used the class", level=level))
            continue
        low, high, method = f1_interval(both, first, second, level=level)
        out.append(
            Estimate(float(top / bottom), low, high, method, int(bottom - both), None, level, int(top), int(bottom))
        )
    return out


def kappa_influence(table: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Influence of one case in cell (i, j) on kappa; its mean is 0, sqrt(mean square / n) is the standard
    error.

    # (K, K) from (K, K)
    """
    a = kappa_arrays(table, weights)
    counts = np.asarray(table, dtype=np.float64)
    w = check_weights(weights, counts.shape[0])
    p = counts / counts.sum()
    mean = (p.sum(0) @ w.T)[:, None] + (p.sum(1) @ w)[None, :]
    centre = a.kappa - a.expected * (1 - a.kappa)
    return np.asarray((w - mean * (1 - a.kappa) - centre) / (1 - a.expected))


def kappa_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    n_classes: int,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> tuple[Estimate, TestResult]:
    """Difference of two kappas measured on the same cases, first minus second, with z test.

    Each kappa is a pair of columns of codes; the pairs may share a column. The cases are those with all
    reads. The correlation enters through the case-wise influences, so no independence is assumed (delta
    method; Vanbelle and Albert 2008, doi:10.1080/00949650701410249, describe the problem). Undefined when
    either kappa is; no interval when the influences agree in every case.

    Example
    -------
    >>> truth, a, b = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 1]
    >>> estimate, test = kappa_difference((truth, a), (truth, b), 2)
    >>> round(estimate.estimate, 3), estimate.n
    (0.667, 6)
    """
    columns = [check_codes(column, n_classes) for column in (*first, *second)]
    if len({column.shape for column in columns}) != 1:
        raise StatisticsError("Kappas on the same cases need columns of equal length.", code="E_LENGTH")
    complete = np.all(np.stack(columns) >= 0, axis=0)
    n = int(complete.sum())
    values, influences = [], []
    for left, right in ((columns[0], columns[1]), (columns[2], columns[3])):
        cells: Ints = pair_cells(left, right, n_classes)[complete]
        table = np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
        values.append(float(kappa_values(table, weights)) if n else NAN)
        influences.append(kappa_influence(table, weights).ravel()[cells] if np.isfinite(values[-1]) else np.zeros(n))
    difference = values[0] - values[1]
    if not np.isfinite(difference):
        note = "a kappa is undefined" if n else "no case with all reads"
        return Estimate.undefined(n, note, level=level), TestResult(NAN, None, NAN, "delta z", n, note)
    se = float(np.sqrt(((influences[0] - influences[1]) ** 2).sum())) / n
    se = 0.0 if se < 1e-12 else se
    estimate = wald(difference, se, n=n, method="delta", level=level)
    z = difference / se if se > 0 else NAN
    return estimate, TestResult(z, None, float(2 * scipy.stats.norm.sf(abs(z))), "delta z", n)
