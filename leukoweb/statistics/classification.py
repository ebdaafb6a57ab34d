"""Metrics per class (one against the rest), their macro averages, and whole-table metrics.

Every function takes confusion matrices with rows = reference, columns = predicted, and works on a stack of
them (``(..., K, K)``), so that 10,000 bootstrap tables cost one call. Counts may be fractional (resample
weights).

For class k with TP, FP, FN, TN counted one against the rest:
sensitivity TP/(TP+FN), specificity TN/(TN+FP), PPV TP/(TP+FP), NPV TN/(TN+FN), F1 2TP/(2TP+FP+FN).
A quotient 0/0 is undefined and NaN. A class that nobody has and nobody predicts says nothing about the
evaluator, so by default *all* its metrics are undefined (``absent="undefined"``), also the quotients that
would read n/n;
``absent="formula"`` leaves only 0/0 undefined.

Macro = unweighted mean over the declared classes; macro F1 is the mean of the class F1s, not the harmonic
mean of macro PPV and macro sensitivity. This reproduces Tables S1 and S2 of the paper (Appendix 3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.confusion import Bools, Floats, marginals
from leukoweb.statistics.results import StatisticsError

Absent = Literal["undefined", "formula"]
ZeroDivision = Literal["exclude", "zero", "one"]
Among = Literal["declared", "reference", "seen"]

METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1")


class Counts(NamedTuple):
    """One-against-rest counts per class.  # each (..., K)"""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats


class MacroAverage(NamedTuple):
    """A macro average and the number of classes that entered it.  # each (...)"""

    value: Floats
    n_classes: Floats


def _tables(table: ArrayLike) -> Floats:
    array = np.asarray(table, dtype=np.float64)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] < 2:
        raise StatisticsError(
            f"A confusion matrix is square with 2 or more classes, not {array.shape}.", code="E_TABLE"
        )
    if array.size and not array.min() >= 0:  # also true for NaN
        raise StatisticsError("A confusion matrix holds counts; found a negative or undefined one.", code="E_TABLE")
    return array


def divide(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Element-wise quotient; NaN where the denominator is 0.

    Example
    -------
    >>> divide([1, 0], [2, 0]).tolist()
    [0.5, nan]
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    top, bottom = np.broadcast_arrays(top, bottom)
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom != 0)
    return out


def one_vs_rest(table: ArrayLike) -> Counts:
    """TP, FP, FN, TN of each class.  # (..., K) from (..., K, K)

    Example
    -------
    >>> one_vs_rest([[8, 2], [1, 9]]).fp.tolist()
    [1.0, 2.0]
    """
    rows, cols, tp = marginals(_tables(table))
    fn, fp = rows - tp, cols - tp
    tn = rows.sum(-1)[..., None] - tp - fn - fp
    return Counts(tp, fp, fn, tn)


def absent_classes(table: ArrayLike) -> Bools:
    """Classes without a true case and without a prediction.  # (..., K)"""
    rows, cols, _ = marginals(_tables(table))
    out: Bools = (rows + cols) == 0
    return out


def class_fractions(table: ArrayLike) -> dict[str, tuple[Floats, Floats]]:
    """Numerator and denominator of each metric per class.  # (..., K) each

    F1 is the fraction 2TP / (2TP + FP + FN).
    """
    return _fractions(one_vs_rest(table))


def _fractions(counts: Counts) -> dict[str, tuple[Floats, Floats]]:
    tp, fp, fn, tn = counts
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
    }


def class_metrics(table: ArrayLike, *, absent: Absent = "undefined") -> dict[str, Floats]:
    """Sensitivity, specificity, PPV, NPV and F1 per class.  # each (..., K) from (..., K, K)

    Undefined: see the module's text. Example: the paper's three-class table of its AI pipeline (Table S1).

    >>> m = class_metrics([[29, 0, 0], [0, 7, 0], [5, 0, 23]])
    >>> [round(float(v), 4) for v in m["specificity"]]
    [0.8571, 1.0, 1.0]
    """
    counts = one_vs_rest(table)
    metrics = {name: divide(top, bottom) for name, (top, bottom) in _fractions(counts).items()}
    if absent == "undefined":
        gone = (counts.tp + counts.fn + counts.fp) == 0
        if gone.any():
            metrics = {name: np.where(gone, np.nan, values) for name, values in metrics.items()}
    return metrics


def class_accuracy(table: ArrayLike) -> Floats:
    """One-against-rest accuracy (TP+TN)/n per class; NaN for an empty table.  # (..., K)"""
    tp, fp, fn, tn = one_vs_rest(table)
    return divide(tp + tn, tp + fp + fn + tn)


def macro_average(
    values: ArrayLike,
    *,
    zero_division: ZeroDivision = "exclude",
    among: Among = "declared",
    table: ArrayLike | None = None,
) -> MacroAverage:
    """Unweighted mean over classes.  # (...) from (..., K)

    Parameters
    ----------
    values
        One metric per class, NaN where undefined.
    zero_division
        ``exclude`` leaves undefined classes out (and the result says how many entered), ``zero`` and ``one``
        count them as 0 or 1 (scikit-learn's ``zero_division``).
    among
        ``declared``: all classes; ``reference``: those with a true case; ``seen``: those with a true case or
        a prediction. The last two need ``table``.

    Undefined (NaN, 0 classes): no class enters.

    Example
    -------
    >>> [float(part) for part in macro_average([0.5, 1.0, np.nan])]
    [0.75, 2.0]
    """
    array = np.asarray(values, dtype=np.float64)
    if zero_division != "exclude":
        array = np.where(np.isnan(array), 0.0 if zero_division == "zero" else 1.0, array)
    if among != "declared":
        if table is None:
            raise StatisticsError(f"Averaging over the classes {among!r} needs the confusion matrix.", code="E_TABLE")
        cm = _tables(table)
        keep = cm.sum(-1) > 0 if among == "reference" else ~absent_classes(cm)
        array = np.where(keep, array, np.nan)
    used = ~np.isnan(array)
    n_classes = used.sum(-1).astype(np.float64)
    return MacroAverage(divide(np.where(used, array, 0.0).sum(-1), n_classes), n_classes)


def accuracy(table: ArrayLike) -> Floats:
    """Exact match: trace / n; NaN for an empty table.  # (...)

    Example
    -------
    >>> float(accuracy([[8, 2], [1, 9]]))
    0.85
    """
    rows, _, diagonal = marginals(_tables(table))
    return divide(diagonal.sum(-1), rows.sum(-1))


def balanced_accuracy(table: ArrayLike) -> Floats:
    """Mean sensitivity over the classes that have a true case; NaN without any.  # (...)

    Example
    -------
    >>> round(float(balanced_accuracy([[8, 2], [0, 5]])), 3)
    0.9
    """
    return macro_average(class_metrics(table)["sensitivity"]).value


def matthews(table: ArrayLike, *, undefined: float = np.nan) -> Floats:
    """Matthews correlation for K classes.  # (...)

    R_K = (n tr(C) - sum_k t_k p_k) / sqrt((n^2 - sum t_k^2)(n^2 - sum p_k^2)), with t, p the row and column
    sums (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006). Undefined when the reference or the
    predictions use one class only: NaN, or ``undefined`` (scikit-learn takes 0).

    Example
    -------
    >>> round(float(matthews([[8, 2], [1, 9]])), 3)
    0.704
    """
    rows, cols, diagonal = marginals(_tables(table))
    n = rows.sum(-1)
    covariance = n * diagonal.sum(-1) - (rows * cols).sum(-1)
    spread = (n**2 - (rows**2).sum(-1)) * (n**2 - (cols**2).sum(-1))
    out = divide(covariance, np.sqrt(np.maximum(spread, 0.0)))
    return np.where(np.isnan(out), undefined, out)
