"""Each evaluator against the reference: confusion matrix, metrics per class, macro, and positive against negative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.agreement import kappa_arrays, kappa_at, kappa_influence, kappa_values
from leukoweb.statistics.bootstrap import Replicates, bootstrap_interval, bootstrap_tables
from leukoweb.statistics.classification import METRICS, class_metrics, macro_average, matthews
from leukoweb.statistics.confusion import Bools, Floats, Ints, confusion_matrix, pair_cells
from leukoweb.statistics.covariance import proportion_covariance
from leukoweb.statistics.intervals import (
    clustered_proportion,
    f1_interval,
    macro_influence,
    mean_of_independent,
    proportion,
    wald,
)
from leukoweb.statistics.ratings_table import Study
from leukoweb.statistics.results import NAN, Estimate

ABSENT = "nobody has this class and the evaluator never gave it"


def evaluator_statistics(tables: ArrayLike) -> Floats:
    """Macro metrics, Matthews correlation, kappa with the reference, F1 per class.  # (..., 7 + K)"""
    metrics = class_metrics(tables)
    macros = [macro_average(metrics[name]).value for name in METRICS]
    whole = np.stack([*macros, matthews(tables), kappa_values(tables)], axis=-1)
    return np.concatenate([whole, metrics["f1"]], axis=-1)


def _all_statistics(tables: Floats) -> Floats:
    """The same for all evaluators side by side.  # (..., E * (7 + K)) from (..., E, K, K)"""
    values = evaluator_statistics(tables)
    return values.reshape(*values.shape[:-2], -1)


def _replicates(study: Study, codes: Ints, reference: Ints, n_classes: int) -> Replicates | None:
    if study.plan.bootstrap == 0:
        return None
    cells = pair_cells(np.broadcast_to(reference[:, None], codes.shape), codes, n_classes)
    return bootstrap_tables(
        cells, n_classes, _all_statistics, study.scheme, resamples=study.plan.bootstrap, seed=study.plan.seed
    )


class _Evaluator:
    """One evaluator against the reference, over the cases that have both."""

    def __init__(
        self, study: Study, predicted: Ints, reference: Ints, n_classes: int, replicates: Replicates | None, start: int
    ) -> None:
        self.study, self.n_classes, self.level = study, n_classes, study.plan.level
        self.known = (predicted >= 0) & (reference >= 0)
        self.predicted, self.reference = predicted[self.known], reference[self.known]
        self.clusters = None if study.clusters is None else study.clusters[self.known]
        self.table = confusion_matrix(self.reference, self.predicted, n_classes)
        self.n = int(self.table.sum())
        self.replicates, self.start = replicates, start
        self.values = evaluator_statistics(self.table)
        self.influences = macro_influence(self.table) if self.n else {}

    def share(self, hits: Bools, among: Bools, note: str = "") -> Estimate:
        """A proportion of rows, clustered where patients have several."""
        if self.clusters is not None:
            return clustered_proportion(hits, among, self.clusters, level=self.level, note=note)
        return proportion(int((hits & among).sum()), int(among.sum()), level=self.level, note=note)

    def accuracy(self) -> Estimate:
        """Share of exact matches."""
        return self.share(self.predicted == self.reference, np.ones(self.n, dtype=bool))

    def per_class(self, k: int) -> dict[str, Estimate]:
        """Sensitivity, specificity, PPV, NPV and F1 of one class."""
        true, given = self.reference == k, self.predicted == k
        if not (true.any() or given.any()):
            return {name: Estimate.undefined(0, ABSENT, level=self.level) for name in METRICS}
        return {
            "sensitivity": self.share(given, true),
            "specificity": self.share(~given, ~true),
            "ppv": self.share(true, given),
            "npv": self.share(~true, ~given),
            "f1": self.f1(k),
        }

    def f1(self, k: int) -> Estimate:
        """F1 with a bootstrap interval; through its Jaccard fraction where that is not estimable or not asked."""
        true, given = self.reference == k, self.predicted == k
        tp, wrong = int((true & given).sum()), int((true ^ given).sum())
        value, counts = 2 * tp / (2 * tp + wrong), {"numerator": 2 * tp, "denominator": 2 * tp + wrong}
        note = ""
        if self.replicates is not None:
            drawn = self.resampled(len(METRICS) + 2 + k, value, **counts)
            if drawn.has_interval:
                return drawn
            note = f"bootstrap {drawn.note}"
        if self.clusters is not None:
            jaccard = clustered_proportion(true & given, true | given, self.clusters, level=self.level)
            low, high = (2 * limit / (1 + limit) for limit in (jaccard.low, jaccard.high))
            method = f"{jaccard.method}-jaccard"
        else:
            low, high, method = f1_interval(tp, wrong, 0, level=self.level)
        return Estimate(value, low, high, method, self.n, None, self.level, note=note, **counts)

    def resampled(self, offset: int, value: float, **counts: int) -> Estimate:
        """The estimate with its bootstrap interval and standard error."""
        assert self.replicates is not None
        index = self.start + offset
        found = bootstrap_interval(self.replicates, index, level=self.level)
        drawn = self.replicates.resampled[:, index]
        drawn = drawn[np.isfinite(drawn)]
        se = float(drawn.std(ddof=1)) if drawn.size > 1 and found.method != "none" else None
        return Estimate(value, found.low, found.high, found.method, self.n, se, self.level, note=found.note, **counts)

    def macro(self, position: int) -> dict[str, Any]:
        """A macro metric with the number of classes that entered; the analytic interval beside a bootstrap one."""
        name, value = METRICS[position], float(self.values[position])
        used = int(np.isfinite(class_metrics(self.table)[name]).sum())
        if not np.isfinite(value):
            undefined = Estimate.undefined(self.n, "no class has this metric", level=self.level)
            return {**undefined.as_dict(), "n_classes": used}
        closed = self.closed_macro(name, value)
        if self.replicates is None:
            return {**closed.as_dict(), "n_classes": used}
        drawn = self.resampled(position, value)
        if not drawn.has_interval and closed.has_interval:
            drawn = replace(closed, note=f"bootstrap {drawn.note}")
        analytic = {key: closed.as_dict()[key] for key in ("low", "high", "method")}
        return {**drawn.as_dict(), "n_classes": used, "analytic": analytic}

    def closed_macro(self, name: str, value: float) -> Estimate:
        """From the intervals of the classes where these are independent, else by the delta method."""
        if name in ("sensitivity", "ppv"):
            truth_first = name == "sensitivity"
            parts = []
            for k in range(self.n_classes):
                true, given = self.reference == k, self.predicted == k
                parts.append(self.share(given, true) if truth_first else self.share(true, given))
            return mean_of_independent(parts, n=self.n, level=self.level)
        se = self.delta_se(self.influences[f"macro_{name}"])
        return wald(value, se, n=self.n, method="delta", level=self.level)

    def delta_se(self, influence: Floats) -> float:
        """Standard error from the influence of each cell.  # influence (K, K)"""
        if self.clusters is None:
            return float(np.sqrt((self.table * influence**2).sum())) / self.n
        rows = influence[self.reference, self.predicted][:, None]
        return float(np.sqrt(proportion_covariance(rows, self.clusters)[0, 0]))

    def matthews(self) -> Estimate:
        """Matthews correlation; its interval needs the bootstrap."""
        value = float(self.values[len(METRICS)])
        if not np.isfinite(value):
            return Estimate.undefined(self.n, "reference or predictions use one class only", level=self.level)
        if self.replicates is None:
            return Estimate(value, NAN, NAN, "none", self.n, level=self.level, note="interval needs the bootstrap")
        return self.resampled(len(METRICS), value)

    def kappa(self) -> Estimate:
        """Cohen's kappa with the reference."""
        result = kappa_at(kappa_arrays(self.table), (), level=self.level).result
        if result.defined and self.replicates is not None:
            return self.resampled(len(METRICS) + 1, result.estimate)
        if result.defined and self.clusters is not None:
            se = self.delta_se(kappa_influence(self.table))
            return wald(result.estimate, se, n=self.n, method="delta-clustered", level=self.level)
        return result


def binary_codes(codes: Ints, positive: tuple[int, ...]) -> Ints:
    """0 = positive, 1 = negative, -1 = not read."""
    return np.where(codes < 0, codes, np.where(np.isin(codes, positive), 0, 1))


def evaluators_report(study: Study) -> dict[str, Any]:
    """Per evaluator: confusion matrix and all metrics; without a reference only what was read."""
    if study.reference is None:
        return {
            name: {"n": int((column >= 0).sum()), "reads": _reads(study, column)}
            for name, column in zip(study.evaluators, study.codes.T, strict=True)
        }
    replicates = _replicates(study, study.codes, study.reference, study.n_classes)
    binary_replicates = None
    if study.positive:
        two = binary_codes(study.codes, study.positive), binary_codes(study.reference, study.positive)
        binary_replicates = _replicates(study, *two, 2)
    out = {}
    for index, name in enumerate(study.evaluators):
        column = study.codes[:, index]
        start = index * (len(METRICS) + 2 + study.n_classes)
        one = _Evaluator(study, column, study.reference, study.n_classes, replicates, start)
        report: dict[str, Any] = {
            "n": one.n,
            "missing": study.n_cases - one.n,
            "reads": _reads(study, column),
            "confusion": one.table.tolist(),
            "accuracy": one.accuracy().as_dict(),
            **{f"macro_{metric}": one.macro(position) for position, metric in enumerate(METRICS)},
            "mcc": one.matthews().as_dict(),
            "kappa_with_reference": one.kappa().as_dict(),
            "per_class": {
                label: {metric: e.as_dict() for metric, e in one.per_class(k).items()}
                for k, label in enumerate(study.plan.classes)
            },
        }
        if study.positive:
            reference, predicted = binary_codes(study.reference, study.positive), binary_codes(column, study.positive)
            two_class = _Evaluator(study, predicted, reference, 2, binary_replicates, index * (len(METRICS) + 4))
            binary = {metric: e.as_dict() for metric, e in two_class.per_class(0).items()}
            report["binary"] = {
                "confusion": two_class.table.tolist(),
                "accuracy": two_class.accuracy().as_dict(),
                **binary,
            }
        out[name] = report
    return out


def _reads(study: Study, column: Ints) -> dict[str, int]:
    return {label: int((column == k).sum()) for k, label in enumerate(study.plan.classes)}
