"""Patient bootstrap by matrix products: all evaluators and all pairs of them share the same resamples.

A resample is a row of weights (how often each patient was drawn). Weights times one-hot confusion cells gives
every confusion matrix of every resample in one product; counts are integers, so single precision is exact.
Statistics then come from the stacked tables. Jackknife tables are the full table less one patient's (or
cluster's) cells.

Resampling is by patient, within strata of the reference class unless asked otherwise, or by cluster (all
reads of a patient move together). Intervals: percentile, or BCa (Efron 1987,
doi:10.1080/01621459.1987.10478410) with a mid-rank bias correction for the ties of discrete statistics. What
cannot be estimated is said to be so: a statistic that is the same in all resamples, or undefined in too many
of them, has no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from leukoweb.statistics.confusion import Floats, Ints, one_hot
from leukoweb.statistics.intervals import check_level
from leukoweb.statistics.results import NAN, StatisticsError

IntervalMethod = Literal["bca", "percentile"]
Quantile = Literal["linear", "normal"]
BiasCorrection = Literal["midrank", "strict", "inclusive"]

MAX_RESAMPLES = 1_000_000
MAX_UNDEFINED = 0.05
CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Scheme:
    """Who is drawn together and within what.

    Attributes
    ----------
    n_cases
        Rows of the table.
    unit
        Resampling unit of each case: the case itself, or its cluster.  # (n_cases,) values 0..U-1
    stratum
        Stratum of each unit.  # (n_units,) values 0..S-1
    """

    n_cases: int
    unit: Ints
    stratum: Ints

    @property
    def n_units(self) -> int:
        """Units that are drawn."""
        return int(self.stratum.size)

    @property
    def clustered(self) -> bool:
        """Whether some unit holds more than one case."""
        return self.n_units < self.n_cases


def make_scheme(n_cases: int, *, strata: ArrayLike | None = None, clusters: ArrayLike | None = None) -> Scheme:
    """How to resample ``n_cases`` rows. Both arrays hold one value per case.

    Errors: no cases; arrays of another length; a cluster that lies in two strata (it could not be drawn
    whole).
    """
    if n_cases < 1:
        raise StatisticsError("There is no case to resample.", code="E_EMPTY")
    stratum_of_case = _codes(strata, n_cases, "strata")
    unit = np.arange(n_cases) if clusters is None else _codes(clusters, n_cases, "clusters")
    stratum = np.full(int(unit.max()) + 1, -1, dtype=np.int64)
    stratum[unit] = stratum_of_case
    if np.any(stratum[unit] != stratum_of_case):
        raise StatisticsError(
            "A cluster has cases in two strata, so it cannot be drawn as a whole.",
            code="E_CLUSTER",
            hint="Stratify by something that is the same within a patient, or not at all.",
        )
    return Scheme(n_cases, unit, stratum)


def _codes(values: ArrayLike | None, n_cases: int, name: str) -> Ints:
    if values is None:
        return np.zeros(n_cases, dtype=np.int64)
    array: NDArray[Any] = np.asarray(values)
    if array.shape != (n_cases,):
        raise StatisticsError(f"{name} has shape {array.shape}, expected ({n_cases},).", code="E_LENGTH", field=name)
    return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64).reshape(n_cases)


def weights_from_indices(indices: ArrayLike, n_cases: int) -> NDArray[np.float32]:
    """Weights from drawn row numbers (0-based).  # (B, n_cases) from (B, draws)"""
    drawn = np.asarray(indices, dtype=np.int64)
    rows = drawn.shape[0]
    flat = (drawn + n_cases * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * n_cases).reshape(rows, n_cases).astype(np.float32)


def resample_weights(scheme: Scheme, resamples: int, seed: int, *, row_bytes: int = 0) -> Iterator[NDArray[np.float32]]:
    """Weights in chunks that fit in memory.  # each (b, n_cases), in total ``resamples`` rows

    The same seed gives the same weights on every machine (PCG64); the chunk size does not change them.
    ``row_bytes`` is what the caller makes of one resample, so that a chunk of its tables fits in memory too.
    """
    if not 1 <= resamples <= MAX_RESAMPLES:
        raise StatisticsError(
            f"{resamples} resamples asked for; 1 to {MAX_RESAMPLES} are possible.",
            code="E_RESAMPLES",
            field="bootstrap",
        )
    generators = [np.random.default_rng([seed, stratum]) for stratum in range(int(scheme.stratum.max()) + 1)]
    members = [np.flatnonzero(scheme.stratum == stratum) for stratum in range(len(generators))]
    chunk = max(1, min(resamples, CHUNK_BYTES // max(8 * scheme.n_cases, row_bytes)))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        units = np.empty((rows, scheme.n_units), dtype=np.float32)
        for generator, inside in zip(generators, members, strict=True):
            drawn = generator.integers(0, inside.size, size=(rows, inside.size))
            units[:, inside] = weights_from_indices(drawn, inside.size)
        yield units if not scheme.clustered else units[:, scheme.unit]


def weighted_tables(cells: Ints, weights: NDArray[np.float32], n_classes: int) -> Floats:
    """Confusion matrices of all columns under all resamples.  # (b, m, K, K)

    ``cells`` holds a cell number ``row * K + column`` per case and column (-1 = not in the table).  #
    (n_cases, m)
    """
    n_cases, columns = cells.shape
    hot = one_hot(cells, n_classes * n_classes, np.float32).reshape(n_cases, -1)
    product = weights @ hot
    tables: Floats = product.reshape(weights.shape[0], columns, n_classes, n_classes).astype(np.float64)
    return tables


def jackknife_tables(cells: Ints, scheme: Scheme, n_classes: int) -> Floats:
    """The table less each unit in turn.  # (n_units, m, K, K)"""
    hot = one_hot(cells, n_classes * n_classes)  # (n_cases, m, K*K)
    if scheme.clustered:
        by_unit = np.zeros((scheme.n_units, *hot.shape[1:]))
        np.add.at(by_unit, scheme.unit, hot)
    else:
        by_unit = hot
    left: Floats = by_unit.sum(0) - by_unit
    return left.reshape(scheme.n_units, cells.shape[1], n_classes, n_classes)


@dataclass(frozen=True, slots=True)
class Replicates:
    """A vector of statistics on the data, on each resample and without each unit.

    Attributes
    ----------
    estimate
        On the data.  # (s,)
    resampled
        On each resample.  # (B, s)
    jackknife
        Without each unit.  # (U, s)
    stratum
        Stratum of each unit.  # (U,)
    """

    estimate: Floats
    resampled: Floats
    jackknife: Floats
    stratum: Ints


def bootstrap_tables(
    cells: Ints,
    n_classes: int,
    statistic: Callable[[Floats], Floats],
    scheme: Scheme,
    *,
    resamples: int,
    seed: int,
) -> Replicates:
    """Any vector of statistics of confusion matrices, for all columns at once.

    Parameters
    ----------
    cells
        Cell numbers per case and column; -1 leaves the case out of that column's table.  # (n_cases, m)
    statistic
        Maps a stack of tables to statistics.  # (..., m, K, K) -> (..., s)
    """
    full = weighted_tables(cells, np.ones((1, scheme.n_cases), dtype=np.float32), n_classes)
    row_bytes = 8 * cells.shape[1] * n_classes**2
    draws = resample_weights(scheme, resamples, seed, row_bytes=row_bytes)
    chunks = [statistic(weighted_tables(cells, weights, n_classes)) for weights in draws]
    jackknife = statistic(jackknife_tables(cells, scheme, n_classes))
    return Replicates(statistic(full)[0], np.concatenate(chunks), jackknife, scheme.stratum)


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits, the method that gave them (a fallback names itself) and a note."""

    low: float
    high: float
    method: str
    note: str = ""


def quantiles(values: Floats, probabilities: ArrayLike, rule: Quantile = "linear") -> Floats:
    """Quantiles of a sample: ``linear`` = type 7; ``normal`` = interpolation on the normal scale at (B+1)p.

    The second is Davison and Hinkley 1997, eq. 5.8; beyond the extreme ranks it takes the extreme value.
    """
    p = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
    ordered = np.sort(values)
    if rule == "linear":
        return np.asarray(np.quantile(ordered, p))
    n = ordered.size
    rank = p * (n + 1)
    below = np.clip(np.floor(rank).astype(np.int64), 1, n)
    above = np.clip(below + 1, 1, n)
    at, first, second = (scipy.stats.norm.ppf(q) for q in (p, below / (n + 1), above / (n + 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(above > below, (at - first) / (second - first), 0.0)
    share = np.where((rank < 1) | (rank >= n) | (below == rank), 0.0, share)
    return np.asarray(ordered[below - 1] + share * (ordered[above - 1] - ordered[below - 1]))


def acceleration(jackknife: Floats, stratum: Ints, *, around: float | None = None) -> float:
    """BCa acceleration from leave-one-out values, by strata (Davison and Hinkley 1997, eq. 5.30).

    a = (1/6) sum_s n_s^-3 sum l^3 / (sum_s n_s^-2 sum l^2)^(3/2) with l = (n_s - 1)(mean - value) within
    stratum s;
    ``around`` replaces the mean. NaN when all values are equal or one is undefined.
    """
    if not np.all(np.isfinite(jackknife)):
        return NAN
    cubes = squares = 0.0
    for inside in range(int(stratum.max()) + 1):
        values = jackknife[stratum == inside]
        centre = values.mean() if around is None else around
        pull = (values.size - 1) * (centre - values)
        cubes += float((pull**3).sum()) / values.size**3
        squares += float((pull**2).sum()) / values.size**2
    # rounding leaves about 1e-16 per value; anything this small is "all equal"
    return cubes / (6 * squares**1.5) if squares > 1e-24 else NAN


def regression_acceleration(values: Floats, weights: NDArray[Any]) -> float:
    """BCa acceleration from regressing the resampled statistic on the resample frequencies (one stratum).

    Davison and Hinkley 1997, section 2.7.4.
    """
    n = weights.shape[1]
    design = np.column_stack([np.ones(values.size), weights[:, 1:].astype(np.float64) / n])
    slopes = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    pull = np.concatenate([[0.0], slopes])
    pull = pull - pull.mean()
    return float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))


def bias_correction(values: Floats, estimate: float, rule: BiasCorrection = "midrank") -> float:
    """z0 = normal quantile of the share of resampled values below the estimate; ties count half in ``midrank``."""
    tolerance = 1e-12 * max(1.0, abs(estimate))
    below = float((values < estimate - tolerance).mean())
    ties = float((np.abs(values - estimate) <= tolerance).mean())
    share = below + {"midrank": ties / 2, "strict": 0.0, "inclusive": ties}[rule]
    return float(scipy.stats.norm.ppf(share))


def bootstrap_interval(
    replicates: Replicates,
    index: int,
    *,
    method: IntervalMethod = "bca",
    level: float = 0.95,
    quantile: Quantile = "linear",
    bias: BiasCorrection = "midrank",
) -> Interval:
    """Interval of one statistic, with the fallbacks in the open.

    - statistic undefined on the data, equal in all resamples, or undefined in more than 5 % of them: no
      interval;
    - undefined in some resamples (up to 5 %): those are left out and the note says how many;
    - jackknife undefined or constant, or all resamples on one side: percentile instead of BCa, and the method
      says so.

    Example
    -------
    >>> cells, scheme = np.array([[0], [1], [3], [3], [0], [3]] * 8), make_scheme(48)
    >>> statistic = lambda tables: tables[..., 0, 0, 1, None]  # how often the cell (0, 1)
    >>> replicates = bootstrap_tables(cells, 2, statistic, scheme, resamples=200, seed=1)
    >>> bootstrap_interval(replicates, 0).method
    'bootstrap-bca'
    """
    tail = (1 - check_level(level)) / 2
    estimate = float(replicates.estimate[index])
    if not np.isfinite(estimate):
        return Interval(NAN, NAN, "none", "undefined")
    values = replicates.resampled[:, index]
    finite = values[np.isfinite(values)]
    lost = values.size - finite.size
    if finite.size < values.size * (1 - MAX_UNDEFINED):
        return Interval(NAN, NAN, "none", f"not estimable: undefined in {lost} of {values.size} resamples")
    if np.ptp(finite) <= 1e-12:
        return Interval(NAN, NAN, "none", "not estimable: the same in all resamples")
    note = f"{lost} of {values.size} resamples undefined and left out" if lost else ""
    if method == "percentile":
        low, high = quantiles(finite, [tail, 1 - tail], quantile)
        return Interval(float(low), float(high), "bootstrap-percentile", note)
    a = acceleration(replicates.jackknife[:, index], replicates.stratum)
    z0 = bias_correction(finite, estimate, bias)
    if not (np.isfinite(a) and np.isfinite(z0)):
        why = "jackknife not estimable" if not np.isfinite(a) else "all resamples on one side of the estimate"
        note = "; ".join(filter(None, (note, f"{why}: not BCa")))
        low, high = quantiles(finite, [tail, 1 - tail], quantile)
        return Interval(float(low), float(high), "bootstrap-percentile", note)
    low, high = quantiles(finite, bca_probabilities(z0, a, level), quantile)
    return Interval(float(low), float(high), "bootstrap-bca", note)


def bca_probabilities(z0: float, a: float, level: float = 0.95) -> tuple[float, float]:
    """The two cumulative probabilities at which BCa reads the resampled distribution."""
    tail = (1 - check_level(level)) / 2
    z = scipy.stats.norm.ppf(np.array([tail, 1 - tail]))
    moved = scipy.stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))
    return float(moved[0]), float(moved[1])
