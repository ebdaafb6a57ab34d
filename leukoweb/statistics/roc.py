"""ROC curves and areas from ordinal confidence ratings, reader by reader.

Empirical throughout: no model of the ratings, ties between a positive and a negative case count one half.
Diagnoses with more than two classes are looked at one class against the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from leukoweb.statistics.covariance import (
    AucCovariance,
    FloatArray,
    auc_covariance,
    case_matrix,
    empirical_auc,
    truth_vector,
)
from leukoweb.statistics.mrmc_anova import Difference, make_difference
from leukoweb.statistics.results import NAN, Estimate

AucInterval = Literal["wald", "logit"]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Operating points from the strictest threshold (nothing is positive) to the laxest (everything is).

    ``thresholds[k]``: positive means score >= this (the first is infinite); ``sensitivity`` and
    ``specificity`` with their counts ``true_positives`` of ``n_positive`` and ``true_negatives`` of
    ``n_negative``. Shape (n_points,); NaN shares for an empty group.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray
    true_positives: NDArray[np.int64]
    true_negatives: NDArray[np.int64]
    n_positive: int
    n_negative: int


def roc_curve(truth: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Empirical ROC curve of one evaluator; one point per distinct score and one in front.

    ``truth`` (n,) is 0/1, ``scores`` (n,) higher = more positive. Errors: StatisticsError for missing scores.

    Examples
    --------
    >>> roc_curve([0, 0, 1, 1], [1, 2, 2, 3]).sensitivity.tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    values = case_matrix(scores, "scores")[:, 0]
    positive = truth_vector(truth, len(values))
    levels = np.unique(values)[::-1]
    # Count of cases at or above each level, by counting those strictly below it.
    below = np.searchsorted(np.sort(values[positive]), levels, side="left")
    below_negative = np.searchsorted(np.sort(values[~positive]), levels, side="left")
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    true_positives = np.concatenate([[0], n_positive - below]).astype(np.int64)
    true_negatives = np.concatenate([[n_negative], below_negative]).astype(np.int64)
    return RocCurve(
        thresholds=np.concatenate([[np.inf], levels]),
        sensitivity=true_positives / n_positive if n_positive else np.full(len(levels) + 1, NAN),
        specificity=true_negatives / n_negative if n_negative else np.full(len(levels) + 1, NAN),
        true_positives=true_positives,
        true_negatives=true_negatives,
        n_positive=n_positive,
        n_negative=n_negative,
    )


def auc(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = 0.95,
    covariance: AucCovariance = "delong",
    interval: AucInterval = "logit",
    clusters: ArrayLike | None = None,
) -> tuple[Estimate, ...]:
    """Area under the curve of every column of ``scores`` (n, n_evaluators), with an interval.

    ``interval`` ``logit`` works on log(A / (1 - A)) and stays inside 0 and 1 by itself; ``wald``, estimate -+ z se cut
    there, is what most packages print and holds the true area too rarely near 1. Perfect separation has a standard
    error of 0 and gets no interval, with a note. NaN when a group is empty.

    Example
    -------
    >>> [round(one.estimate, 3) for one in auc([1, 1, 0, 0], [3.0, 2.0, 2.0, 1.0])]
    [0.875]
    """
    values = case_matrix(scores, "scores")
    areas = empirical_auc(truth, values)
    variances = np.diag(auc_covariance(truth, values, method=covariance, clusters=clusters))
    name = f"{'clustered' if clusters is not None else covariance}-{interval}"
    return tuple(
        _with_interval(float(area), float(variance), len(values), level, interval, name)
        for area, variance in zip(areas, variances, strict=True)
    )


def _with_interval(area: float, variance: float, n: int, level: float, interval: AucInterval, name: str) -> Estimate:
    if not np.isfinite(area):
        return Estimate.undefined(n, "There is no positive or no negative case.", level=level)
    if not variance > 0:
        note = "The standard error is 0 or undefined (perfect separation, or a group of one case): no interval."
        return Estimate(area, NAN, NAN, "none", n, se=variance, level=level, note=note)
    se, z = float(np.sqrt(variance)), float(scipy.stats.norm.ppf((1 + level) / 2))
    if interval == "logit" and 0 < area < 1:
        centre, half = np.log(area / (1 - area)), z * se / (area * (1 - area))
        low, high = 1 / (1 + np.exp(half - centre)), 1 / (1 + np.exp(-half - centre))
    else:
        low, high = max(0.0, area - z * se), min(1.0, area + z * se)
    return Estimate(area, float(low), float(high), name, n, se=se, level=level)


def compare_aucs(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    names: Sequence[str] = ("first", "second"),
    level: float = 0.95,
    covariance: AucCovariance = "delong",
    clusters: ArrayLike | None = None,
) -> Difference:
    """Difference of two areas on the same cases, with DeLong's (or another) covariance: z test and interval.

    NaN statistic and interval where the two rank all cases alike, so that the standard error is 0.

    Example
    -------
    >>> truth = [1, 1, 1, 1, 0, 0, 0, 0]
    >>> compare_aucs(truth, [3, 4, 2, 5, 1, 2, 3, 1], [4, 4, 3, 5, 2, 1, 3, 1]).estimate
    -0.09375
    """
    scores = np.column_stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    areas = empirical_auc(truth, scores)
    cov = auc_covariance(truth, scores, method=covariance, clusters=clusters)
    variance = float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    # Identical rankings leave rounding noise instead of 0.
    se = float(np.sqrt(variance)) if variance > 1e-15 else (0.0 if np.isfinite(variance) else NAN)
    return make_difference(names[0], names[1], float(areas[0] - areas[1]), se, float("inf"), level)


def one_against_rest(
    reference: Sequence[str],
    scores: ArrayLike,
    classes: Sequence[str],
    *,
    level: float = 0.95,
    clusters: ArrayLike | None = None,
) -> dict[str, Estimate]:
    """Area of each class against all others, for an evaluator who scores every class.

    ``scores`` has shape (n, n_classes) in the order of ``classes``; ``reference`` (n,) holds class names. A
    class without a case, or with all of them, is undefined.

    Example
    -------
    >>> scores = [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.65, 0.35]]
    >>> one_against_rest(["a", "a", "b", "b"], scores, ["a", "b"])["a"].estimate
    0.75
    """
    values = case_matrix(scores, "scores")
    truth = np.asarray(reference)
    return {
        name: auc((truth == name).astype(int), values[:, k], level=level, clusters=clusters)[0]
        for k, name in enumerate(classes)
    }
