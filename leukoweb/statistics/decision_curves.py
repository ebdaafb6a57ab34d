"""Decision curves: is acting on the AI's probability better than treating everybody, or nobody?

Net benefit at a threshold t counts a true positive as 1 and a false positive as -t / (1 - t): the odds at which
somebody who acts at t weighs the two errors. It is a mean over patients, so its standard error is that of a mean, and
two models on the same patients are compared by the mean of their differences. Source: Vickers and Elkin 2006,
doi:10.1177/0272989X06295361; intervals: Vickers et al. 2008, doi:10.1186/1472-6947-8-53.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.calibration import checked
from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.intervals import wald
from leukoweb.statistics.results import NAN, Estimate, StatisticsError


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """Net benefit per patient at one threshold; treating nobody has 0. ``over_all`` = model minus treating
    everybody.
    """

    threshold: float
    net_benefit: Estimate
    treat_all: Estimate
    over_all: Estimate
    n_positive_calls: int


def decision_curve(
    outcome: ArrayLike,
    probability: ArrayLike,
    thresholds: Sequence[float] = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist()),
    *,
    level: float = 0.95,
) -> tuple[DecisionPoint, ...]:
    """Net benefit with normal intervals at each threshold (probability >= threshold is acted on).

    ``outcome`` (n,) 0/1, ``probability`` (n,). A value that is the same for every patient has no interval.

    Errors: StatisticsError for a threshold outside 0 < t < 1.

    Examples
    --------
    >>> points = decision_curve([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], [0.5])
    >>> points[0].net_benefit.estimate, points[0].treat_all.estimate
    (0.0, 0.0)
    """
    happened, stated = checked(outcome, probability)
    out = []
    for threshold in thresholds:
        called = stated >= _check_threshold(threshold)
        worth = _worth(happened, called, threshold)
        everybody = _worth(happened, np.ones(len(called), dtype=bool), threshold)
        out.append(
            DecisionPoint(
                float(threshold),
                _mean(worth, level),
                _mean(everybody, level),
                _mean(worth - everybody, level),
                int(called.sum()),
            )
        )
    return tuple(out)


def net_benefit_difference(
    outcome: ArrayLike, first: ArrayLike, second: ArrayLike, threshold: float, *, level: float = 0.95
) -> Estimate:
    """Net benefit of the first minus the second model on the same patients.

    Example
    -------
    >>> net_benefit_difference([1, 0, 1, 0], [0.9, 0.2, 0.6, 0.4], [0.4, 0.6, 0.8, 0.1], 0.5).estimate
    0.5
    """
    happened, stated = checked(outcome, first)
    _, other = checked(outcome, second)
    _check_threshold(threshold)
    difference = _worth(happened, stated >= threshold, threshold) - _worth(happened, other >= threshold, threshold)
    return _mean(difference, level)


def _check_threshold(threshold: float) -> float:
    if not 0 < threshold < 1:
        raise StatisticsError(f"A threshold must lie between 0 and 1, not {threshold}.", field="thresholds")
    return threshold


def _worth(happened: FloatArray, called: ArrayLike, threshold: float) -> FloatArray:
    value: FloatArray = np.where(called, happened - (1 - happened) * threshold / (1 - threshold), 0.0)
    return value


def _mean(values: FloatArray, level: float) -> Estimate:
    n = len(values)
    se = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else NAN
    return wald(float(values.mean()), se, n=n, method="mean-of-cases", level=level)
