"""Obuchowski-Rockette analysis of modalities x readers, with Hillis' degrees of freedom.

The input is one estimate per modality and reader (an AUC, a sensitivity, ...) and the covariance of these
estimates over cases. The analysis answers three questions at once: for readers and cases in general (both
random), for exactly these readers (cases random), and for exactly these cases (readers random). Sources:
Obuchowski and Rockette 1995, doi:10.1080/03610919508813243; Hillis 2007, doi:10.1002/sim.2532; Hillis 2014,
doi:10.1002/sim.5926.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.results import NAN, StatisticsError, to_json_value

INFINITE = float("inf")
# Variances below this are rounding noise of estimates that do not vary at all.
_NOTHING = 1e-15


@dataclass(frozen=True, slots=True)
class Components:
    """Mean squares and covariance components, as estimated (negative ones are not set to 0 here).

    ``var_error`` variance over cases of one estimate; ``cov1`` same reader, other modality; ``cov2`` same
    modality, other reader; ``cov3`` both differ; ``var_reader`` and ``var_treatment_reader`` by equating mean
    squares with expectations.
    """

    ms_treatment: float
    ms_reader: float
    ms_treatment_reader: float
    var_error: float
    cov1: float
    cov2: float
    cov3: float
    var_reader: float
    var_treatment_reader: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain: dict[str, Any] = to_json_value({item.name: getattr(self, item.name) for item in fields(self)})
        return plain


@dataclass(frozen=True, slots=True)
class ModalityMean:
    """Mean over readers of one modality, from that modality's data alone; interval cut at the bounds of the
    endpoint."""

    name: str
    estimate: float
    se: float
    df: float
    low: float
    high: float
    ms_reader: float
    var_error: float
    cov2: float


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second modality; ``statistic`` is t (or z where ``df`` is infinite), ``p`` two-sided."""

    first: str
    second: str
    estimate: float
    se: float
    df: float
    low: float
    high: float
    statistic: float
    p: float


@dataclass(frozen=True, slots=True)
class DesignTest:
    """Test that all modalities are equal under one design, with means and pairwise differences.

    ``design`` is ``random-readers-random-cases``, ``fixed-readers-random-cases`` or
    ``random-readers-fixed-cases``. ``F`` is MS(treatment) / ``denominator``; with fixed readers its second df
    is infinite and (t - 1) F is chi-square. NaN where the design needs more readers or modalities than there
    are.
    """

    design: str
    F: float
    df1: float
    df: float
    p: float
    denominator: float
    modalities: tuple[ModalityMean, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class ReaderEstimate:
    """One reader with one modality; cases random, normal quantiles, cut at the bounds."""

    modality: str
    reader: str
    estimate: float
    se: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReaderDifference:
    """First minus second modality for one reader; cases random."""

    reader: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class ObuchowskiRockette:
    """The whole analysis; see :func:`obuchowski_rockette`."""

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    estimates: FloatArray  # (n_modalities, n_readers)
    covariance: FloatArray  # (n_modalities * n_readers, n_modalities * n_readers), modality by modality
    components: Components
    random: DesignTest
    fixed_readers: DesignTest
    fixed_cases: DesignTest
    reader_estimates: tuple[ReaderEstimate, ...]
    reader_differences: tuple[ReaderDifference, ...]
    n: int
    level: float
    endpoint: str
    method: str


def obuchowski_rockette(
    estimates: ArrayLike,
    covariance: ArrayLike,
    *,
    modalities: Sequence[str] | None = None,
    readers: Sequence[str] | None = None,
    n: int = 0,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    endpoint: str = "",
    method: str = "",
) -> ObuchowskiRockette:
    """Analyse a fully crossed study.

    Parameters
    ----------
    estimates : (t, r)
        One per modality and reader.
    covariance : (t * r, t * r)
        Of the estimates over cases, rows and columns in the order ``estimates.ravel()``.
    bounds
        Smallest and largest value of the endpoint; intervals of means are cut there, those of differences are
        not.

    Notes
    -----
    Random readers and cases: F = MS(T) / (MS(TR) + max(r (Cov2 - Cov3), 0)), df = denominator^2 / (MS(TR)^2 /
    ((t-1)(r-1))). A difference has se = sqrt(2 denominator / r). One modality: se^2 = (MS(R) + max(r Cov2,
    0)) / r. Fixed readers: denominator VarE - Cov1 + (r - 1) max(Cov2 - Cov3, 0). Fixed cases: denominator
    MS(TR).

    One reader leaves only the fixed-reader design; one modality leaves no test. Both give NaN, not an error.

    Example
    -------
    >>> theta = [[0.90, 0.85, 0.88], [0.93, 0.91, 0.89]]
    >>> found = obuchowski_rockette(theta, np.eye(6) * 0.0005 + 0.0003)
    >>> round(found.random.differences[0].estimate, 4), round(found.random.differences[0].se, 4)
    (-0.0333, 0.0145)
    """
    theta = np.asarray(estimates, dtype=np.float64)
    if theta.ndim != 2 or theta.size == 0 or np.shape(covariance) != (theta.size, theta.size):
        raise StatisticsError(
            f"Estimates of shape {theta.shape} need a covariance of {theta.size} x {theta.size}, "
            f"not {np.shape(covariance)}.",
            code="E_SHAPE",
        )
    t, r = theta.shape
    names = tuple(modalities or (f"modality {i + 1}" for i in range(t)))
    reader_names = tuple(readers or (f"reader {j + 1}" for j in range(r)))
    blocks = np.asarray(covariance, dtype=np.float64).reshape(t, r, t, r)
    own = tuple(_own_components(theta[i], blocks[i, :, i, :]) for i in range(t))
    study = _Study(_components(theta, blocks), own, theta.mean(axis=1), names, r, level, bounds)
    return ObuchowskiRockette(
        modalities=names,
        readers=reader_names,
        estimates=theta,
        covariance=np.asarray(covariance, dtype=np.float64),
        components=study.parts,
        random=_random(study),
        fixed_readers=_fixed_readers(study),
        fixed_cases=_fixed_cases(study),
        reader_estimates=_reader_estimates(theta, blocks, names, reader_names, level, bounds),
        reader_differences=_reader_differences(theta, blocks, names, reader_names, level),
        n=n,
        level=level,
        endpoint=endpoint,
        method=method,
    )


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else NAN


def _components(theta: FloatArray, blocks: FloatArray) -> Components:
    t, r = theta.shape
    modality, reader, grand = theta.mean(axis=1), theta.mean(axis=0), theta.mean()
    residual = theta - modality[:, None] - reader[None, :] + grand
    ms_treatment = float(r * ((modality - grand) ** 2).sum() / (t - 1)) if t > 1 else NAN
    ms_reader = float(t * ((reader - grand) ** 2).sum() / (r - 1)) if r > 1 else NAN
    ms_both = float((residual**2).sum() / ((t - 1) * (r - 1))) if t > 1 and r > 1 else NAN
    same_t = np.eye(t, dtype=bool)[:, None, :, None] & np.ones((t, r, t, r), dtype=bool)
    same_r = np.eye(r, dtype=bool)[None, :, None, :] & np.ones((t, r, t, r), dtype=bool)
    var_error = _mean(blocks[same_t & same_r])
    cov1, cov2 = _mean(blocks[~same_t & same_r]), _mean(blocks[same_t & ~same_r])
    cov3 = _mean(blocks[~same_t & ~same_r])
    return Components(
        ms_treatment=ms_treatment,
        ms_reader=ms_reader,
        ms_treatment_reader=ms_both,
        var_error=var_error,
        cov1=cov1,
        cov2=cov2,
        cov3=cov3,
        var_reader=(ms_reader - ms_both) / t - cov1 + cov3,
        var_treatment_reader=ms_both - var_error + cov1 + cov2 - cov3,
    )


def _own_components(theta: FloatArray, block: FloatArray) -> tuple[float, float, float]:
    """MS(reader), VarE and Cov2 of one modality; the last is 0 with one reader, who has nobody to vary
    with."""
    r = len(theta)
    var_error = float(np.trace(block)) / r
    if r < 2:
        return NAN, var_error, 0.0
    return float(theta.var(ddof=1)), var_error, float((block.sum() - np.trace(block)) / (r * (r - 1)))


@dataclass(frozen=True, slots=True)
class _Study:
    parts: Components
    own: tuple[tuple[float, float, float], ...]  # MS(reader), VarE, Cov2 per modality
    means: FloatArray  # (t,)
    names: tuple[str, ...]
    n_readers: int
    level: float
    bounds: tuple[float, float]

    def mean_of(self, index: int, variance: float, df: float) -> ModalityMean:
        value, se = float(self.means[index]), _root(variance)
        return ModalityMean(
            self.names[index], value, se, df, *_cut(value, se, df, self.level, self.bounds), *self.own[index]
        )

    def design(self, name: str, denominator: float, df: float, means: Sequence[ModalityMean]) -> DesignTest:
        df1 = len(self.names) - 1
        usable = denominator > _NOTHING
        statistic = self.parts.ms_treatment / denominator if usable else NAN
        se = float(np.sqrt(2 * denominator / self.n_readers)) if usable else NAN
        if not usable:
            p = NAN
        elif np.isfinite(df):
            p = float(scipy.stats.f.sf(statistic, df1, df))
        else:
            p = float(scipy.stats.chi2.sf(df1 * statistic, df1))
        differences = tuple(
            make_difference(self.names[a], self.names[b], float(self.means[a] - self.means[b]), se, df, self.level)
            for a, b in itertools.combinations(range(len(self.names)), 2)
        )
        return DesignTest(name, statistic, df1, df if usable else NAN, p, denominator, tuple(means), differences)


def _random(study: _Study) -> DesignTest:
    parts, r = study.parts, study.n_readers
    denominator = parts.ms_treatment_reader + _positive(r * (parts.cov2 - parts.cov3))
    df = _satterthwaite(parts.ms_treatment_reader, denominator, (len(study.names) - 1) * (r - 1))
    means = []
    for index, (ms_reader, _, cov2) in enumerate(study.own):
        total = ms_reader + _positive(r * cov2)
        means.append(study.mean_of(index, total / r, _satterthwaite(ms_reader, total, r - 1)))
    return study.design("random-readers-random-cases", denominator, df, means)


def _fixed_readers(study: _Study) -> DesignTest:
    parts, r = study.parts, study.n_readers
    shared = (r - 1) * _positive(parts.cov2 - parts.cov3) if r > 1 else 0.0
    means = [
        study.mean_of(index, (var_error + (r - 1) * _positive(cov2)) / r, INFINITE)
        for index, (_, var_error, cov2) in enumerate(study.own)
    ]
    return study.design("fixed-readers-random-cases", parts.var_error - parts.cov1 + shared, INFINITE, means)


def _fixed_cases(study: _Study) -> DesignTest:
    r = study.n_readers
    means = [study.mean_of(index, own[0] / r, float(r - 1)) for index, own in enumerate(study.own)]
    df = float((len(study.names) - 1) * (r - 1))
    return study.design("random-readers-fixed-cases", study.parts.ms_treatment_reader, df, means)


def _reader_estimates(
    theta: FloatArray,
    blocks: FloatArray,
    names: Sequence[str],
    readers: Sequence[str],
    level: float,
    bounds: tuple[float, float],
) -> tuple[ReaderEstimate, ...]:
    out = []
    for (i, name), (j, reader) in itertools.product(enumerate(names), enumerate(readers)):
        se = _root(blocks[i, j, i, j])
        value = float(theta[i, j])
        out.append(ReaderEstimate(name, reader, value, se, *_cut(value, se, INFINITE, level, bounds)))
    return tuple(out)


def _reader_differences(
    theta: FloatArray, blocks: FloatArray, names: Sequence[str], readers: Sequence[str], level: float
) -> tuple[ReaderDifference, ...]:
    out = []
    for (a, b), (j, reader) in itertools.product(itertools.combinations(range(len(names)), 2), enumerate(readers)):
        se = _root(blocks[a, j, a, j] + blocks[b, j, b, j] - 2 * blocks[a, j, b, j])
        value = float(theta[a, j] - theta[b, j])
        out.append(ReaderDifference(reader, make_difference(names[a], names[b], value, se, INFINITE, level)))
    return tuple(out)


def make_difference(first: str, second: str, estimate: float, se: float, df: float, level: float) -> Difference:
    """A difference with its t interval and test; NaN where the standard error is 0 or undefined.

    Example
    -------
    >>> round(make_difference("film", "screen", -0.05, 0.02, 12.0, 0.95).low, 4)
    -0.0936
    """
    if not se > 0:
        return Difference(first, second, estimate, se, NAN, NAN, NAN, NAN, NAN)
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * se
    statistic = estimate / se
    p = float(2 * scipy.stats.t.sf(abs(statistic), df))
    return Difference(first, second, estimate, se, df, estimate - half, estimate + half, statistic, p)


def caution(random_se: float, fixed_se: float) -> str:
    """A warning where readers in general seem better known than the very readers observed, else empty.

    It happens when the mean square between readers comes out smaller, by chance, than the cases alone make it.
    """
    if not 0 < random_se < fixed_se:
        return ""
    return (
        "The random-reader standard error is smaller than the one for these readers alone, because the readers "
        "happen to differ less than their cases would make them: report the wider interval beside it."
    )


def _positive(value: float) -> float:
    # Not max(): a NaN has to stay one.
    return 0.0 if value < 0 else value


def _root(variance: float) -> float:
    if not np.isfinite(variance):
        return NAN
    return float(np.sqrt(variance)) if variance > _NOTHING else 0.0


def _satterthwaite(mean_square: float, total: float, df: int) -> float:
    """Hillis' df: all of them when the mean square is 0, since then nothing is estimated from the readers."""
    if not np.isfinite(total):
        return NAN
    return df * (total / mean_square) ** 2 if mean_square > _NOTHING else INFINITE


def _cut(centre: float, se: float, df: float, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
    if not se > 0:
        return NAN, NAN
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * se
    return max(centre - half, bounds[0]), min(centre + half, bounds[1])
