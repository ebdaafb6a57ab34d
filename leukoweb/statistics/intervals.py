"""Intervals that need no resampling: proportions, F1 through its Jaccard fraction, and the delta method.

Proportions show Wilson; Clopper-Pearson when n < 30 or x is 0 or n. Limits at x = 0 and x = n are exactly 0
and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.classification import Absent, absent_classes, class_metrics, divide
from leukoweb.statistics.confusion import Floats
from leukoweb.statistics.results import NAN, Estimate, StatisticsError

ProportionMethod = Literal["auto", "wilson", "clopper-pearson"]
SMALL_N = 30


def check_level(level: float) -> float:
    """A confidence level strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise StatisticsError(f"The level must lie between 0 and 1, found {level}.", code="E_LEVEL", field="level")
    return level


def z_quantile(level: float) -> float:
    """Two-sided normal quantile: 1.959964 at 0.95.

    Example
    -------
    >>> round(z_quantile(0.95), 6)
    1.959964
    """
    return float(scipy.stats.norm.ppf(0.5 + check_level(level) / 2))


def _counts(x: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    top, bottom = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(top < 0) or np.any(top > bottom):
        raise StatisticsError("A proportion needs 0 <= x <= n.", code="E_PROPORTION")
    return top, bottom


def wilson(x: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Score interval without continuity correction (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Shapes: any that broadcast. Undefined (NaN) at n = 0.

    Example
    -------
    >>> low, high = wilson(23, 28)
    >>> round(float(low), 6), round(float(high), 6)
    (0.644086, 0.921215)
    """
    top, bottom = _counts(x, n)
    z2 = z_quantile(level) ** 2
    p = divide(top, bottom)
    centre = divide(top + z2 / 2, bottom + z2)
    with np.errstate(invalid="ignore"):
        half = np.sqrt(z2 * (p * (1 - p) * bottom + z2 / 4)) / (bottom + z2)
    low = np.where(top == 0, 0.0, centre - half)
    high = np.where(top == bottom, 1.0, centre + half)
    empty = bottom == 0
    return np.where(empty, NAN, low), np.where(empty, NAN, high)


def clopper_pearson(x: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Exact interval from beta quantiles (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).

    Shapes: any that broadcast. Undefined (NaN) at n = 0.

    Example
    -------
    >>> [round(float(limit), 4) for limit in clopper_pearson(29, 29)]
    [0.8806, 1.0]
    """
    top, bottom = _counts(x, n)
    tail = (1 - check_level(level)) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(top == 0, 0.0, scipy.stats.beta.ppf(tail, top, bottom - top + 1))
        high = np.where(top == bottom, 1.0, scipy.stats.beta.ppf(1 - tail, top + 1, bottom - top))
    empty = bottom == 0
    return np.where(empty, NAN, low), np.where(empty, NAN, high)


def proportion(x: int, n: int, *, level: float = 0.95, method: ProportionMethod = "auto", note: str = "") -> Estimate:
    """x of n with its interval. Undefined without cases (n = 0): NaN, with a note.

    ``auto`` is Wilson, or Clopper-Pearson when n < 30 or x is 0 or n.

    Example
    -------
    >>> proportion(45, 64).method, round(proportion(45, 64).low, 4)
    ('wilson', 0.5823)
    """
    if n == 0:
        return Estimate(NAN, NAN, NAN, "none", 0, None, level, int(x), 0, note or "no case to count: 0 of 0")
    if method == "auto":
        method = "clopper-pearson" if n < SMALL_N or x in (0, n) else "wilson"
    low, high = (wilson if method == "wilson" else clopper_pearson)(x, n, level)
    return Estimate(x / n, float(low), float(high), method, int(n), None, level, int(x), int(n), note)


def clustered_proportion(
    hits: ArrayLike, among: ArrayLike, clusters: ArrayLike, *, level: float = 0.95, note: str = ""
) -> Estimate:
    """A proportion when several rows belong to one patient: the usual interval on the effective sample size.

    ``hits`` and ``among`` are 0/1 per row, ``clusters`` names the patient.  # each (n_rows,)
    The design effect is the ratio-estimator variance over the binomial one (Rao and Scott 1992, doi:10.2307/2532311),
    never taken below 1; where the proportion is 0 or 1 it cannot be seen and the patients count as one row each. Wilson
    (Saha, Miller and Wang 2016, doi:10.1515/ijb-2015-0024), or Clopper-Pearson (Korn and Graubard 1998, Survey
    Methodology 24:193) below 30 patients or at 0 and 1. Undefined without rows.

    Example
    -------
    >>> clustered_proportion([1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 1, 1]).estimate
    0.75
    """
    inside = np.asarray(among, dtype=np.float64) > 0
    hit = np.asarray(hits, dtype=np.float64)[inside]
    unit = np.unique(np.asarray(clusters)[inside], return_inverse=True)[1].reshape(-1)
    n = hit.size
    if n == 0:
        return proportion(0, 0, level=level, note=note)
    p, n_units = float(hit.mean()), int(unit.max()) + 1
    effective = float(n_units)
    if 0 < p < 1 and n_units > 1:
        sums = np.bincount(unit, weights=hit - p)
        variance = n_units / (n_units - 1) * float((sums**2).sum()) / n**2
        effective = n / max(1.0, variance * n / (p * (1 - p)))
    small = n_units < SMALL_N or p in (0.0, 1.0)
    low, high = (clopper_pearson if small else wilson)(p * effective, effective, level)
    method = "clopper-pearson-clustered" if small else "wilson-clustered"
    return Estimate(p, float(low), float(high), method, n, None, level, int(hit.sum()), n, note)


def f1_interval(tp: float, fp: float, fn: float, *, level: float = 0.95) -> tuple[float, float, str]:
    """Low, high and method for an F1 (or a positive agreement) from its counts.

    F1 = 2J/(1+J) increases with the Jaccard fraction J = TP/(TP+FP+FN), so the limits of J (a proportion
    among the cases that concern the class) carried through it are limits of F1 with the same coverage.
    Undefined without such cases.
    """
    among = int(tp + fp + fn)
    jaccard = proportion(int(tp), among, level=level)
    if not jaccard.has_interval:
        return NAN, NAN, "none"
    low, high = (2 * limit / (1 + limit) for limit in (jaccard.low, jaccard.high))
    return low, high, f"{jaccard.method}-jaccard"


def wald(estimate: float, se: float, *, n: int, method: str, level: float = 0.95, df: float | None = None) -> Estimate:
    """estimate +/- quantile * se; normal quantile, or Student's t with ``df`` degrees of freedom. Not
    clipped.

    A standard error of 0 or an undefined one gives no interval: a degenerate table is not infinitely precise.

    Example
    -------
    >>> round(wald(0.8, 0.1, n=64, method="delta").low, 3)
    0.604
    """
    if not np.isfinite(estimate):
        return Estimate(NAN, NAN, NAN, "none", n, level=level, note="undefined")
    if not np.isfinite(se) or se <= 0:
        note = "standard error 0: no interval" if se == 0 else "no standard error: no interval"
        return Estimate(estimate, NAN, NAN, "none", n, float(se) if np.isfinite(se) else None, level, note=note)
    quantile = z_quantile(level) if df is None else float(scipy.stats.t.ppf(0.5 + check_level(level) / 2, df))
    low, high = estimate - quantile * se, estimate + quantile * se
    beyond = "limit beyond 1 (normal approximation, not clipped)" if high > 1 else ""
    return Estimate(float(estimate), float(low), float(high), method, n, float(se), level, note=beyond)


def mean_of_independent(parts: Sequence[Estimate], *, n: int, level: float = 0.95) -> Estimate:
    """Mean of independent estimates from their own limits, for macro sensitivity and macro PPV.

    low = mean - sqrt(sum (estimate_k - low_k)^2) / K, high likewise (MOVER; Zou and Donner 2008, doi:10.1002/sim.3095).
    The sensitivities of the classes rest on different cases, so they are independent given the class counts; so are
    the PPVs given the counts of predictions. Holds its coverage with classes of three cases, where delta method and
    bootstrap do not. Undefined parts are left out; undefined without any.

    Example
    -------
    >>> round(mean_of_independent([proportion(18, 20), proportion(5, 10)], n=30).estimate, 3)
    0.7
    """
    defined = [part for part in parts if part.defined]
    if not defined:
        return Estimate.undefined(n, "no class has this metric", level=level)
    value = sum(part.estimate for part in defined) / len(defined)
    below = math.sqrt(sum((part.estimate - part.low) ** 2 for part in defined)) / len(defined)
    above = math.sqrt(sum((part.high - part.estimate) ** 2 for part in defined)) / len(defined)
    return Estimate(value, max(value - below, 0.0), min(value + above, 1.0), "mover", n, None, level)


def macro_influence(
    table: ArrayLike, *, absent: Absent = "undefined", declared: int | None = None
) -> dict[str, Floats]:  # fmt: skip
    """Influence of one case in cell (i, j) on accuracy and on each macro metric.  # each (K, K) from (K, K)

    With multinomial cells, sqrt(sum p_ij * IF_ij**2 / n) is the delta-method standard error. The classes that
    enter are held fixed. For macro F1 this is the variance of Takahashi et al. 2022
    (doi:10.1007/s10489-021-01635-5). Rows and columns from ``declared`` on are answers that are no class
    ("undecided"): such a case is missed by its class, and no macro average has a class for them.
    """
    cm = np.asarray(table, dtype=np.float64)
    n, n_classes = cm.sum(), cm.shape[0]
    metrics = class_metrics(cm, absent=absent)
    is_row = np.eye(n_classes)[:, :, None]  # (class, i, 1): the reference is this class
    is_col = np.eye(n_classes)[:, None, :]  # (class, 1, j): the prediction is this class
    rows, cols = (share[:, None, None] for share in (cm.sum(1) / n, cm.sum(0) / n))
    value = {name: v[:, None, None] for name, v in metrics.items()}
    # A defined metric has a denominator above 0; undefined ones are NaN and left out below.
    per_class = {
        "sensitivity": divide(is_row * (is_col - value["sensitivity"]), rows + 0 * is_col),
        "specificity": divide((1 - is_row) * ((1 - is_col) - value["specificity"]), 1 - rows + 0 * is_col),
        "ppv": divide(is_col * (is_row - value["ppv"]), cols + 0 * is_row),
        "npv": divide((1 - is_col) * ((1 - is_row) - value["npv"]), 1 - cols + 0 * is_row),
        "f1": divide(2 * is_row * is_col - value["f1"] * (is_row + is_col), rows + cols + 0 * is_row),
    }
    out = {}
    for name, influence in per_class.items():
        defined = ~np.isnan(metrics[name]) & (np.arange(n_classes) < (declared or n_classes))
        out[f"macro_{name}"] = influence[defined].mean(0) if defined.any() else np.full_like(cm, NAN)
    out["accuracy"] = np.eye(n_classes) - np.trace(cm) / n
    return out


def delta_standard_errors(table: ArrayLike) -> dict[str, float]:
    """Delta-method standard error of accuracy and of each macro metric; NaN where the metric is undefined."""
    cm = np.asarray(table, dtype=np.float64)
    n = cm.sum()
    if n == 0 or absent_classes(cm).all():
        return dict.fromkeys(("accuracy", *(f"macro_{m}" for m in class_metrics(cm))), NAN)
    influences = macro_influence(cm)
    return {name: float(np.sqrt((cm / n * values**2).sum() / n)) for name, values in influences.items()}
