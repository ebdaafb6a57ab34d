"""One fixed evaluator, the AI, against a sample of readers who read the same cases.

The AI has no reader variance, so this is the *one-treatment* random-reader random-case comparison: the reader
minus AI differences are averaged over readers, and their variance has a part from the readers and a part from
the cases. Source: Hillis, Obuchowski and Berbaum 2011, doi:10.1016/j.acra.2010.09.007; Hupse et al. 2013,
doi:10.1007/s00330-012-2562-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.covariance import (
    AucCovariance,
    auc_covariance,
    case_matrix,
    empirical_auc,
    proportion_covariance,
)
from leukoweb.statistics.mrmc_anova import caution
from leukoweb.statistics.results import NAN, StatisticsError, to_json_value

# Below this a variance is rounding noise of a difference that is the same in every case.
_NOTHING = 1e-15


@dataclass(frozen=True, slots=True)
class AiVersusReaders:
    """AI minus the readers' mean, with intervals for readers in general and for exactly these readers.

    Attributes
    ----------
    ai, readers_mean, readers, difference
        Estimates; ``difference`` is AI minus ``readers_mean``.
    se, df, low, high, p
        Random readers and random cases: standard error, Hillis degrees of freedom (infinite when the readers
        do not differ), two-sided interval, p of no difference. NaN where the standard error is 0 or cannot be
        estimated.
    fixed_se, fixed_low, fixed_high
        The same for *these* readers only (cases random, readers fixed; normal quantiles).
    margin, non_inferior, p_non_inferior
        Margin as given; True when ``low > -margin``; one-sided p. None/NaN without a margin or without an
        interval.
    n, n_readers, n_dropped
        Cases analysed, readers, cases left out because somebody had not read them.
    ms_reader, var_error, cov2
        Mean square between readers; mean case variance of a difference, and mean case covariance of two
        readers' differences as estimated (a negative ``cov2`` enters the standard error as 0).
    method, note
        ``obuchowski-rockette-one-treatment`` or ``fixed-reader`` (one reader); what was special.
    """

    ai: float
    readers_mean: float
    readers: tuple[float, ...]
    difference: float
    se: float
    df: float
    low: float
    high: float
    p: float
    fixed_se: float
    fixed_low: float
    fixed_high: float
    margin: float | None
    non_inferior: bool | None
    p_non_inferior: float
    n: int
    n_readers: int
    n_dropped: int
    ms_reader: float
    var_error: float
    cov2: float
    level: float
    method: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: NaN and infinity as None."""
        names = self.__dataclass_fields__
        plain: dict[str, Any] = to_json_value({name: getattr(self, name) for name in names if name != "note"})
        return plain | ({"note": self.note} if self.note else {})


def ai_versus_readers(
    ai_correct: ArrayLike,
    readers_correct: ArrayLike,
    margin: float | None = None,
    level: float = 0.95,
    *,
    clusters: ArrayLike | None = None,
    jackknife_over: int | None = None,
) -> AiVersusReaders:
    """Compare the AI's share of correct cases with the readers' mean share.

    Parameters
    ----------
    ai_correct : (n,)
        1 where the AI was right, 0 where not, NaN where it gave no answer. Accuracy with all cases;
        sensitivity with the positive cases only, specificity with the negative ones (the caller selects the
        rows). Any score per case whose mean is the endpoint will do.
    readers_correct : (n, n_readers)
        The same for each reader, one primary session each; NaN = not read.
    margin
        Non-inferiority margin > 0, fixed before the reading; None for no such statement.
    clusters : (n,), optional
        Patient of each row, when a patient has several rows.
    jackknife_over
        Cases N of the whole study, when the rows are a part of it (sensitivity, specificity): the variance is
        then the jackknife that leaves out every case of the study in turn, (N - 1) / N x n / (n - 1) of the
        usual one, as RJafroc has it for this comparison. None: the rows alone. Cases dropped here do not
        count in N.

    Notes
    -----
    Cases that anybody has not read are left out and counted in ``n_dropped``. Fewer than two cases:
    everything but the estimates is NaN. One reader: reader variance cannot be estimated, the interval is for
    that reader only and says so.

    Examples
    --------
    >>> result = ai_versus_readers([1, 1, 0, 1], [[1, 0], [1, 1], [1, 1], [0, 1]], margin=0.05)
    >>> result.difference, result.n_readers
    (0.0, 2)
    """
    ai = np.asarray(ai_correct, dtype=np.float64)
    readers = np.asarray(readers_correct, dtype=np.float64)
    if ai.ndim != 1 or readers.ndim != 2 or len(ai) != len(readers) or readers.shape[1] < 1:
        raise StatisticsError(
            f"The AI's answers have shape {ai.shape} and the readers' {readers.shape}; "
            "(n,) and (n, readers) are needed.",
            code="E_SHAPE",
        )
    together = np.column_stack([ai, readers])
    complete = np.isfinite(together).all(axis=1)
    values = together[complete]
    kept = None if clusters is None else np.asarray(clusters)[complete]
    means = values.mean(axis=0) if len(values) else np.full(values.shape[1], NAN)
    return from_covariance(
        means,
        proportion_covariance(values, kept) * jackknife_factor(len(values), jackknife_over, clusters),
        n=len(values),
        n_dropped=int((~complete).sum()),
        margin=margin,
        level=level,
    )


def ai_versus_readers_auc(
    truth: ArrayLike,
    ai_scores: ArrayLike,
    readers_scores: ArrayLike,
    margin: float | None = None,
    level: float = 0.95,
    *,
    covariance: AucCovariance = "delong",
    clusters: ArrayLike | None = None,
) -> AiVersusReaders:
    """Compare the AI's area under the ROC curve with the readers' mean area.

    ``truth`` (n,) is 0 or 1, ``ai_scores`` (n,) and ``readers_scores`` (n, n_readers) rate every case; higher
    = more positive. Errors: StatisticsError for a missing score (leave such cases out before).

    Example
    -------
    >>> truth = [1, 1, 1, 1, 0, 0, 0, 0]
    >>> readers = [[3, 4], [4, 4], [2, 3], [5, 5], [1, 2], [2, 1], [3, 3], [1, 1]]
    >>> found = ai_versus_readers_auc(truth, [4, 5, 3, 5, 1, 1, 3, 2], readers)
    >>> round(found.difference, 4), found.n_readers
    (0.0469, 2)
    """
    scores = np.column_stack([np.asarray(ai_scores, dtype=float), case_matrix(readers_scores, "readers_scores")])
    return from_covariance(
        empirical_auc(truth, scores),
        auc_covariance(truth, scores, method=covariance, clusters=clusters),
        n=len(scores),
        margin=margin,
        level=level,
    )


def from_covariance(
    estimates: ArrayLike,
    covariance: ArrayLike,
    *,
    n: int,
    n_dropped: int = 0,
    margin: float | None = None,
    level: float = 0.95,
) -> AiVersusReaders:
    """The comparison for any endpoint, from estimates and their covariance over cases.

    ``estimates`` (1 + n_readers,) and ``covariance`` (1 + n_readers, 1 + n_readers) have the AI first; for a
    macro F1, say, take :func:`leukoweb.statistics.covariance.jackknife_covariance` of the leave-one-out
    values.

    se^2 = MS(reader) / r + max(cov2, 0) and df = (r - 1) ((MS(reader) + r max(cov2, 0)) / MS(reader))^2, with
    MS(reader) the variance of the r differences and cov2 the mean case covariance of two of them.

    Example
    -------
    >>> round(from_covariance([0.8, 0.7, 0.72], np.eye(3) * 0.001 + 0.001, n=100).se, 4)
    0.0332
    """
    _check_options(margin, level)
    theta = np.asarray(estimates, dtype=np.float64)
    joint = np.asarray(covariance, dtype=np.float64)
    r = len(theta) - 1
    differences = theta[0] - theta[1:]
    case_cov = joint[0, 0] - joint[0, 1:][:, None] - joint[0, 1:][None, :] + joint[1:, 1:]  # (r, r)
    var_error = float(np.trace(case_cov)) / r
    cov2 = float((case_cov.sum() - np.trace(case_cov)) / (r * (r - 1))) if r > 1 else NAN
    difference = float(differences.mean())
    fixed_se = _root(float(case_cov.sum()) / r**2)
    fixed_low, fixed_high = _limits(difference, fixed_se, np.inf, level)
    if r > 1:
        ms_reader = float(differences.var(ddof=1))
        se, df = _random_reader_error(ms_reader, max(cov2, 0.0), r)
        method, note = "obuchowski-rockette-one-treatment", ""
    else:
        ms_reader, se, df, method = NAN, fixed_se, float("inf"), "fixed-reader"
        note = "One reader: no spread between readers can be estimated; the interval is for this reader only."
    low, high = _limits(difference, se, df, level)
    if not np.isfinite(low):
        note = (note + " The standard error is 0 or undefined, so there is no interval.").strip()
    elif not note:
        note = caution(se, fixed_se)
    p = float(2 * scipy.stats.t.sf(abs(difference) / se, df)) if np.isfinite(low) else NAN
    verdict = low > -margin if margin is not None and np.isfinite(low) else None
    p_margin = NAN
    if margin is not None and np.isfinite(low):
        p_margin = float(scipy.stats.t.sf((difference + margin) / se, df))
    return AiVersusReaders(
        ai=float(theta[0]),
        readers_mean=float(theta[1:].mean()),
        readers=tuple(float(value) for value in theta[1:]),
        difference=difference,
        se=se,
        df=df,
        low=low,
        high=high,
        p=p,
        fixed_se=fixed_se,
        fixed_low=fixed_low,
        fixed_high=fixed_high,
        margin=margin,
        non_inferior=verdict,
        p_non_inferior=p_margin,
        n=n,
        n_readers=r,
        n_dropped=n_dropped,
        ms_reader=ms_reader,
        var_error=var_error,
        cov2=cov2,
        level=level,
        method=method,
        note=note,
    )


def jackknife_factor(n: int, n_study: int | None, clusters: ArrayLike | None) -> float:
    """What turns the variance of ``n`` rows into the jackknife over the ``n_study`` cases that they are a
    part of."""
    if n_study is None or n < 2:
        return 1.0
    if clusters is not None or n_study < n:
        raise StatisticsError(
            f"A jackknife over {n_study} cases needs at least the {n} rows given, and no clusters.",
            code="E_JACKKNIFE",
            field="jackknife_over",
        )
    return (n_study - 1) / n_study * n / (n - 1)


def _check_options(margin: float | None, level: float) -> None:
    if not 0 < level < 1:
        raise StatisticsError(f"The level must be between 0 and 1, not {level}.", code="E_LEVEL", field="level")
    if margin is not None and not 0 < margin < 1:
        raise StatisticsError(
            f"The margin must lie between 0 and 1, not {margin}.",
            code="E_MARGIN",
            field="margin",
            hint="0.05 means: the AI may be at most 5 percentage points worse.",
        )


def _random_reader_error(ms_reader: float, cov2: float, r: int) -> tuple[float, float]:
    # Readers with equal estimates leave a mean square of rounding noise; its df would be 0 / 0.
    if ms_reader <= _NOTHING:
        return _root(cov2), float("inf")
    return _root(ms_reader / r + cov2), (r - 1) * ((ms_reader + r * cov2) / ms_reader) ** 2


def _root(variance: float) -> float:
    return float(np.sqrt(variance)) if variance > _NOTHING else (0.0 if np.isfinite(variance) else NAN)


def _limits(centre: float, se: float, df: float, level: float) -> tuple[float, float]:
    """Two-sided limits, or NaN where a standard error of 0 would only pretend certainty."""
    if not se > 0:
        return NAN, NAN
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * se
    return centre - half, centre + half
