"""One-sample U-statistics for reader studies: unbiased variances that allow missing reads.

The mean of a score (for instance 1 = correct) over readers and cases has a variance that is a weighted sum of
four second moments: same or another case, same or another reader. Counting only the pairs that exist, the
formula holds for any pattern of missing reads. Sources: Gallas 2006, doi:10.1016/j.acra.2005.11.030; Gallas,
Pennello and Myers 2007, doi:10.1364/JOSAA.24.000B70.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.results import NAN, StatisticsError, to_json_value

# Order of moments and coefficients: c = case, r = reader, 1 = the same, 0 = another one.
MOMENTS = ("c0r0", "c0r1", "c1r0", "c1r1")


@dataclass(frozen=True, slots=True)
class UStatistic:
    """Mean of one modality, or first minus second modality, with readers and cases random.

    Attributes
    ----------
    estimate, variance, se, df, low, high
        Point estimate, unbiased variance (it can come out negative: then ``se`` and the interval are NaN), and a t
        interval with Hillis' degrees of freedom, without which few readers would be trusted too much.
    means, variances
        Of the modalities, one or two.
    moments, coefficients
        By modality, then (for two) of their product: four numbers each, named in ``MOMENTS``.
    n_cases, n_readers, n_reads
        Cases and readers with at least one score; scores of each modality.
    """

    estimate: float
    variance: float
    se: float
    df: float
    low: float
    high: float
    means: tuple[float, ...]
    variances: tuple[float, ...]
    moments: tuple[tuple[float, float, float, float], ...]
    coefficients: tuple[tuple[float, float, float, float], ...]
    n_cases: int
    n_readers: int
    n_reads: tuple[int, ...]
    level: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: NaN as None."""
        names = self.__dataclass_fields__
        plain: dict[str, Any] = to_json_value({name: getattr(self, name) for name in names})
        return plain


def u_statistic(first: ArrayLike, second: ArrayLike | None = None, *, level: float = 0.95) -> UStatistic:
    """Mean score, or difference of two mean scores, of readers and cases in general.

    Parameters
    ----------
    first, second : (n_cases, n_readers)
        Scores; NaN = this reader did not read this case. Two modalities have the same cases and readers in
        the same places.

    Notes
    -----
    variance = sum of coefficient x moment; a moment is the mean product over existing pairs, its
    coefficient their share of all pairs, less 1 for ``c0r0``. NaN without two readers and two cases.

    Errors: StatisticsError for unequal shapes.

    Examples
    --------
    >>> result = u_statistic([[1, 1], [1, 0], [0, 0], [1, 1]])
    >>> round(result.estimate, 3), round(result.variance, 4)
    (0.625, 0.0573)
    """
    tables = [np.asarray(table, dtype=np.float64) for table in (first, second) if table is not None]
    if any(table.ndim != 2 or table.shape != tables[0].shape for table in tables):
        raise StatisticsError(
            f"Scores of shapes {[table.shape for table in tables]}; (cases, readers) is needed, alike.",
            code="E_SHAPE",
        )
    means = tuple(_mean(table) for table in tables)
    pairs = [(tables[0], tables[0])]
    if len(tables) == 2:
        pairs += [(tables[1], tables[1]), (tables[0], tables[1])]
    moments, coefficients, values = zip(*(_second_moments(a, b) for a, b in pairs), strict=True)
    if len(tables) == 2:
        estimate, variance = means[0] - means[1], values[0] + values[1] - 2 * values[2]
    else:
        estimate, variance = means[0], values[0]
    se = float(np.sqrt(variance)) if variance > 0 else NAN
    df = _degrees_of_freedom(tables, variance)
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * se
    read = np.logical_or.reduce([np.isfinite(table) for table in tables])
    return UStatistic(
        estimate=estimate,
        variance=variance,
        se=se,
        df=df,
        low=estimate - half,
        high=estimate + half,
        means=means,
        variances=tuple(values[: len(tables)]),
        moments=moments,
        coefficients=coefficients,
        n_cases=int(np.count_nonzero(np.any(read, axis=1))),
        n_readers=int(np.count_nonzero(np.any(read, axis=0))),
        n_reads=tuple(int(np.isfinite(table).sum()) for table in tables),
        level=level,
    )


def _degrees_of_freedom(tables: Sequence[FloatArray], variance: float) -> float:
    """Hillis' df: those of the readers' spread, times how much of the variance is not due to it, squared.

    Infinite when the readers do not differ; NaN with one reader or without a variance.
    """
    with warnings.catch_warnings():
        # A reader without any read has no mean and takes no part.
        warnings.simplefilter("ignore", RuntimeWarning)
        readers = [np.nanmean(table, axis=0) for table in tables]
    values = readers[0] - readers[1] if len(readers) == 2 else readers[0]
    values = values[np.isfinite(values)]
    if len(values) < 2 or not np.isfinite(variance):
        return NAN
    spread = float(values.var(ddof=1)) / len(values)
    return (len(values) - 1) * max(variance / spread, 1.0) ** 2 if spread > 1e-15 else float("inf")


def _mean(table: FloatArray) -> float:
    return float(np.nanmean(table)) if np.isfinite(table).any() else NAN


Four = tuple[float, float, float, float]


def _second_moments(a: FloatArray, b: FloatArray) -> tuple[Four, Four, float]:
    """Moments and coefficients of the product of two tables, and the covariance of their means."""
    totals = _pair_sums(np.nan_to_num(a), np.nan_to_num(b))
    counts = _pair_sums(np.isfinite(a).astype(float), np.isfinite(b).astype(float))
    if counts[0] == 0:
        nothing = (NAN, NAN, NAN, NAN)
        return nothing, nothing, NAN
    # A kind of pair that does not occur has weight 0; its moment is then irrelevant.
    moments = np.divide(totals, counts, out=np.zeros(4), where=counts > 0)
    coefficients = counts / counts.sum() - np.array([1.0, 0.0, 0.0, 0.0])
    value = float(moments @ coefficients)
    m, c = moments.tolist(), coefficients.tolist()
    return (m[0], m[1], m[2], m[3]), (c[0], c[1], c[2], c[3]), value


def _pair_sums(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sums of a[i, j] * b[k, l] over pairs with another/same case and another/same reader, in the order of
    ``MOMENTS``."""
    same_both = float((a * b).sum())
    same_case = float((a.sum(axis=1) * b.sum(axis=1)).sum()) - same_both
    same_reader = float((a.sum(axis=0) * b.sum(axis=0)).sum()) - same_both
    neither = float(a.sum() * b.sum()) - same_case - same_reader - same_both
    return np.array([neither, same_reader, same_case, same_both])
