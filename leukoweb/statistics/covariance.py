"""How estimates of several evaluators vary together when the cases are drawn anew.

Multi-reader analysis needs, beside the estimates themselves, their covariance over cases: every reader read
the same cases, so their errors go up and down together. Each function here returns such a matrix; which one
applies depends on the endpoint (a proportion, or an area under the curve) and on whether the cases are
independent or come in clusters, for example several reads of one patient. Columns are evaluators, rows are
cases, throughout.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from leukoweb.statistics.results import StatisticsError

FloatArray = NDArray[np.float64]
AucCovariance = Literal["delong", "jackknife", "unbiased"]
AUC_COVARIANCES: tuple[AucCovariance, ...] = ("delong", "jackknife", "unbiased")

# Pairs of one positive and one negative case that are looked at together by `unbiased_auc_covariance`.
_PAIRS_AT_ONCE = 200_000


def case_matrix(values: ArrayLike, name: str) -> FloatArray:
    """``values`` as floats of shape (n_cases, n_evaluators); a vector becomes one column.

    Errors: StatisticsError for another number of axes or a value that is not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise StatisticsError(
            f"{name} has {matrix.ndim} axes; it needs 2: cases, then evaluators.", code="E_SHAPE", field=name
        )
    if not np.isfinite(matrix).all():
        missing = int((~np.isfinite(matrix)).any(axis=1).sum())
        raise StatisticsError(
            f"{name} has {missing} case(s) with a missing or infinite value.",
            code="E_MISSING",
            field=name,
            hint="Leave those cases out, or use the U-statistics, which allow missing reads.",
        )
    return matrix


def truth_vector(truth: ArrayLike, n_cases: int) -> NDArray[np.bool_]:
    """``truth`` as booleans of shape (n_cases,); True = positive.

    Errors: StatisticsError when the length differs or a value is neither 0 nor 1.
    """
    vector = np.asarray(truth)
    if vector.shape != (n_cases,):
        raise StatisticsError(
            f"The truth has shape {vector.shape}, the scores have {n_cases} cases.",
            code="E_SHAPE",
            field="truth",
        )
    if not np.isin(vector, (0, 1)).all():
        raise StatisticsError(
            "The truth must be 0 or 1 for every case.",
            code="E_TRUTH",
            field="truth",
            hint="Say which value means positive.",
        )
    return vector.astype(bool)


def placements(truth: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Placement values of the positive and of the negative cases; ties count one half.

    ``positive[i, r]`` is the share of negative cases that evaluator r scores below positive case i,
    ``negative[k, r]`` the share of positive cases above negative case k; the mean of either is the empirical
    AUC. By midranks, so the cost grows with n log n. NaN where the other group is empty. Source: DeLong et
    al. 1988, doi:10.2307/2531595.

    Returns
    -------
    positive : (n_positive, n_evaluators)
    negative : (n_negative, n_evaluators)
    """
    matrix = case_matrix(scores, "scores")
    is_positive = truth_vector(truth, matrix.shape[0])
    x, y = matrix[is_positive], matrix[~is_positive]
    n_positive, n_negative = len(x), len(y)
    if not n_positive or not n_negative:
        return np.full(x.shape, np.nan), np.full(y.shape, np.nan)
    together = scipy.stats.rankdata(np.concatenate([x, y]), axis=0)
    positive = (together[:n_positive] - scipy.stats.rankdata(x, axis=0)) / n_negative
    negative = 1.0 - (together[n_positive:] - scipy.stats.rankdata(y, axis=0)) / n_positive
    return positive, negative


def empirical_auc(truth: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Empirical area under the ROC curve of each column of ``scores``: P(positive > negative) + P(equal) / 2.

    Shape (n_evaluators,); NaN without a positive or without a negative case.

    Example
    -------
    >>> float(np.squeeze(empirical_auc([1, 1, 0, 0], [3.0, 2.0, 2.0, 1.0])))
    0.875
    """
    positive, _ = placements(truth, scores)
    return positive.mean(axis=0) if len(positive) else np.full(positive.shape[1], np.nan)


def proportion_covariance(values: ArrayLike, clusters: ArrayLike | None = None) -> FloatArray:
    """Covariance of the column means of ``values`` (n_cases, n_evaluators) over cases.

    Independent cases: the sample covariance divided by n, which is also the jackknife. With ``clusters`` (one
    label per case): the ratio estimator I / (I - 1) / n^2 * sum over clusters of the products of (sum in the
    cluster - size x mean), Rao and Scott 1992, doi:10.2307/2532311. NaN when fewer than two cases or clusters
    are left.
    """
    matrix = case_matrix(values, "values")
    n, m = matrix.shape
    if n < 2:
        return np.full((m, m), np.nan)
    centred: FloatArray = matrix - matrix.mean(axis=0)
    if clusters is None:
        return _products(centred) / float(n * (n - 1))
    sums = _cluster_sums(centred, clusters)
    if len(sums) < 2:
        return np.full((m, m), np.nan)
    return _products(sums) * float(len(sums) / (len(sums) - 1) / n**2)


def jackknife_covariance(leave_one_out: ArrayLike) -> FloatArray:
    """Covariance from estimates that leave out one case (or one cluster) each.

    (n - 1) / n * sum of the products of deviations from the mean; ``leave_one_out`` has shape (n,
    n_evaluators) and may hold any statistic, for example a macro F1. NaN when n < 2.
    """
    matrix = case_matrix(leave_one_out, "leave_one_out")
    n = len(matrix)
    if n < 2:
        return np.full((matrix.shape[1],) * 2, np.nan)
    return (n - 1) / n * _products(matrix - matrix.mean(axis=0))


def auc_covariance(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    method: AucCovariance = "delong",
    clusters: ArrayLike | None = None,
) -> FloatArray:
    """Covariance of the empirical AUCs of the columns of ``scores`` over cases.

    ``clusters`` (one label per case) selects the clustered estimator, whatever ``method`` says, because
    neither of the others is valid then. NaN when a group has fewer than two cases.

    Errors: StatisticsError for an unknown method.
    """
    if clusters is not None:
        return clustered_auc_covariance(truth, scores, clusters)
    if method == "delong":
        return delong_covariance(truth, scores)
    if method == "jackknife":
        return jackknife_auc_covariance(truth, scores)
    if method == "unbiased":
        return unbiased_auc_covariance(truth, scores)
    raise StatisticsError(
        f"There is no covariance called {method!r}.",
        code="E_COVARIANCE",
        field="covariance",
        hint=f"Choose one of {', '.join(AUC_COVARIANCES)}.",
    )


def delong_covariance(truth: ArrayLike, scores: ArrayLike) -> FloatArray:
    """DeLong's covariance: S10 / n_positive + S01 / n_negative, from placements (doi:10.2307/2531595)."""
    positive, negative = placements(truth, scores)
    if min(len(positive), len(negative)) < 2:
        return np.full((positive.shape[1],) * 2, np.nan)
    return proportion_covariance(positive) + proportion_covariance(negative)


def jackknife_auc_covariance(truth: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Jackknife over all cases, positive and negative alike; the leave-one-out AUCs follow from the
    placements."""
    positive, negative = placements(truth, scores)
    n_positive, n_negative = len(positive), len(negative)
    if min(n_positive, n_negative) < 2:
        return np.full((positive.shape[1],) * 2, np.nan)
    auc = positive.mean(axis=0)
    without_positive = (n_positive * auc - positive) / (n_positive - 1)
    without_negative = (n_negative * auc - negative) / (n_negative - 1)
    return jackknife_covariance(np.concatenate([without_positive, without_negative]))


def unbiased_auc_covariance(truth: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Unbiased covariance from the second moments of the success scores (may be negative on the diagonal).

    With psi the score of a positive and a negative case (1, 1/2 or 0), the product of two AUCs is a weighted
    sum of four moments: same or another positive case, same or another negative case. Source: Gallas 2006,
    doi:10.1016/j.acra.2005.11.030 (one-shot estimate). NaN when a group has fewer than two cases.
    """
    matrix = case_matrix(scores, "scores")
    is_positive = truth_vector(truth, matrix.shape[0])
    x, y = matrix[is_positive], matrix[~is_positive]
    m, n, k = len(x), len(y), matrix.shape[1]
    if min(m, n) < 2:
        return np.full((k, k), np.nan)
    same_both = np.zeros((k, k))
    step = max(1, _PAIRS_AT_ONCE // n)
    for start in range(0, m, step):
        psi = (np.sign(x[start : start + step, None, :] - y[None]) + 1.0) / 2.0
        flat = psi.reshape(-1, k)
        same_both += flat.T @ flat
    positive, negative = placements(truth, scores)
    positive_sums, negative_sums = positive * n, negative * m
    same_positive = positive_sums.T @ positive_sums
    same_negative = negative_sums.T @ negative_sums
    total = positive_sums.sum(axis=0)
    everything = np.outer(total, total)
    other_both = everything - same_positive - same_negative + same_both
    theta_product = other_both / (m * (m - 1) * n * (n - 1))
    return everything / (m * n) ** 2 - theta_product


def clustered_auc_covariance(truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike) -> FloatArray:
    """Covariance of empirical AUCs when cases come in clusters, such as several reads of one patient.

    Placements are summed within clusters; positive and negative cases of one cluster are correlated too.
    Source: Obuchowski 1997, doi:10.2307/2533958. NaN when fewer than two clusters have positive, or negative,
    cases.
    """
    positive, negative = placements(truth, scores)
    labels = _cluster_labels(clusters, len(positive) + len(negative))
    is_positive = np.asarray(truth).astype(bool)
    n_clusters = int(labels.max()) + 1 if len(labels) else 0
    m, n = len(positive), len(negative)
    with_positive = len(np.unique(labels[is_positive]))
    with_negative = len(np.unique(labels[~is_positive]))
    if min(with_positive, with_negative) < 2:
        return np.full((positive.shape[1],) * 2, np.nan)
    auc = positive.mean(axis=0)
    x = _sum_by(positive - auc, labels[is_positive], n_clusters)
    y = _sum_by(negative - auc, labels[~is_positive], n_clusters)
    s10 = with_positive / (with_positive - 1) / m * (x.T @ x)
    s01 = with_negative / (with_negative - 1) / n * (y.T @ y)
    s11 = n_clusters / (n_clusters - 1) * (x.T @ y)
    return s10 / m + s01 / n + (s11 + s11.T) / (m * n)


def _products(centred: FloatArray) -> FloatArray:
    out: FloatArray = centred.T @ centred
    return out


def _cluster_labels(clusters: ArrayLike, n_cases: int) -> NDArray[np.intp]:
    given: NDArray[Any] = np.asarray(clusters)
    if given.shape != (n_cases,):
        raise StatisticsError(
            f"There are {given.shape} cluster labels for {n_cases} cases.", code="E_SHAPE", field="clusters"
        )
    labels: NDArray[np.intp] = np.unique(given, return_inverse=True)[1].reshape(-1).astype(np.intp)
    return labels


def _cluster_sums(centred: FloatArray, clusters: ArrayLike) -> FloatArray:
    labels = _cluster_labels(clusters, len(centred))
    return _sum_by(centred, labels, int(labels.max()) + 1)


def _sum_by(values: FloatArray, labels: NDArray[np.intp], n_clusters: int) -> FloatArray:
    sums = np.zeros((n_clusters, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums
