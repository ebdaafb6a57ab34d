"""Paired comparisons that the library of tables does not make: pipelines, and undecided answers as wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukoweb.statistics.classification import class_metrics, macro_average
from leukoweb.statistics.confusion import Floats, Ints, pair_cells
from leukoweb.statistics.intervals import proportion
from leukoweb.statistics.mrmc import ai_versus_readers, from_covariance
from leukoweb.statistics.paired import discordant, mcnemar, paired_difference
from leukoweb.statistics.results import Estimate
from reader_study.analysis.inputs import Evaluator, Inputs, Level
from reader_study.analysis.levels import (
    bootstrapped,
    codes,
    linearised,
    prefer_analytic_macros,
    ruled_codes,
    wrong_codes,
)

METRICS = ("ppv", "sensitivity", "f1", "accuracy", "specificity")  # in the order of the paper's tables


def five_metrics(tables: Floats, n_classes: int) -> Floats:
    """The paper's five metrics of (..., C, C) tables over the first ``n_classes`` classes.  # (..., 5)

    Columns beyond these classes are answers that are no class ("undecided"): wrong, but false positives of nobody.
    """
    metrics = class_metrics(tables)
    macros = [name for name in METRICS if name != "accuracy"]
    share = {name: macro_average(metrics[name][..., :n_classes]).value for name in macros}
    total = tables.sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        share["accuracy"] = np.trace(tables, axis1=-2, axis2=-1) / total
    return np.stack([share[name] for name in METRICS], axis=-1)


def pair_report(inputs: Inputs, level: Level, first: Evaluator, second: Evaluator) -> dict[str, Any]:
    """First minus second on the cases that both answered: five metrics by bootstrap, accuracy by Tango and McNemar.

    An undecided answer is an answer (and wrong) where the protocol's rule says so, in the test as in the estimates.
    """
    answers, reference, n_codes = ruled_codes(inputs, level, (first, second))
    both = np.all(answers >= 0, axis=1)
    answers, reference, k = answers[both], reference[both], len(level.classes)
    out: dict[str, Any] = {"first": first.name, "second": second.name, "n": int(both.sum()), "metrics": {}}
    if not out["n"]:
        return out
    cells = pair_cells(np.broadcast_to(reference[:, None], answers.shape), answers, n_codes)

    def both_and_difference(tables: Floats) -> Floats:
        values = five_metrics(tables, k)  # (..., 2, 5)
        stacked = np.stack([values[..., 0, :], values[..., 1, :], values[..., 0, :] - values[..., 1, :]], axis=-2)
        return stacked.reshape(*stacked.shape[:-2], -1)

    found = bootstrapped(inputs, cells, n_codes, both_and_difference, reference)
    correct = answers == reference[:, None]
    b, c, _ = discordant(correct[:, 0], correct[:, 1])
    for index, name in enumerate(METRICS):
        one, two, difference = found[index], found[index + 5], found[index + 10]
        if name == "accuracy":
            difference = paired_difference(b, c, out["n"], level=inputs.plan["level"]).as_dict()
            one, two = (
                proportion(int(correct[:, side].sum()), out["n"], level=inputs.plan["level"]).as_dict()
                for side in (0, 1)
            )
        out["metrics"][name] = {"first": one, "second": two, "difference": difference}
    for side, words in enumerate(("first", "second")):
        own = {name: item[words] for name, item in out["metrics"].items()}
        prefer_analytic_macros(inputs, level, own, answers[:, side], reference)
    out |= {"only_first_correct": b, "only_second_correct": c, "mcnemar": mcnemar(b, c, n=out["n"]).as_dict()}
    return out


def undecided_report(inputs: Inputs, level: Level, evaluators: dict[str, Any]) -> list[dict[str, Any]]:
    """Each evaluator with undecided answers: the metrics when these are left out, wrong, and right.

    Left out they are what ``evaluators`` of the same level say, so that one number has one interval. Up to the third
    edition they had a bootstrap of their own.
    """
    out = []
    k = len(level.classes)
    for evaluator in inputs.evaluators:
        undecided = np.array([inputs.undecided(evaluator, level, case.code) for case in inputs.cases])
        if not undecided.any():
            continue
        answers, reference = codes(inputs, level, (evaluator,))
        wrong = np.where(undecided, k, answers[:, 0])
        out.append(
            {
                "evaluator": evaluator.name,
                "n_undecided": int(undecided.sum()),
                "n_unread": int(((answers[:, 0] < 0) & ~undecided).sum()),
                "left_out": _left_out(evaluators[evaluator.name])
                if inputs.edition > 3
                else _metrics(inputs, level, reference, answers[:, 0]),
                "wrong": _metrics(inputs, level, reference, wrong),
                "right": _metrics(inputs, level, reference, np.where(undecided, reference, answers[:, 0])),
            }
        )
    return out


def _left_out(found: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(found[name if name == "accuracy" else f"macro_{name}"]) for name in METRICS}


def _metrics(inputs: Inputs, level: Level, reference: Ints, predicted: Ints) -> dict[str, Any]:
    """Five metrics with intervals; a prediction K means undecided and counts as wrong."""
    known, k = predicted >= 0, len(level.classes)
    reference, predicted = reference[known], predicted[known]
    if not len(reference):
        return {name: Estimate.undefined(0, "no answer", level=inputs.plan["level"]).as_dict() for name in METRICS}
    cells = pair_cells(reference[:, None], predicted[:, None], k + 1)
    found = bootstrapped(inputs, cells, k + 1, lambda tables: five_metrics(tables[..., 0, :, :], k), reference)
    out = dict(zip(METRICS, found, strict=True))
    hits = int((reference == predicted).sum())
    out["accuracy"] = proportion(hits, len(reference), level=inputs.plan["level"]).as_dict()
    prefer_analytic_macros(inputs, level, out, predicted, reference)
    return out


def wrong_comparison(inputs: Inputs, level: Level, metric: str) -> dict[str, Any] | None:
    """AI minus the mean of the readers with undecided answers counted as wrong, in the form of ``ai_vs_readers``.

    Readers and cases random, as without undecided answers: one-treatment Obuchowski-Rockette, macro metrics by their
    linearised values. Cases that somebody was not shown are left out. The first edition took the macro metrics for
    these readers alone, by bootstrap of patients, which the note says.
    """
    if inputs.ai is None or not inputs.primaries:
        return None
    everyone, k = (inputs.ai, *inputs.primaries), len(level.classes)
    answers, reference = wrong_codes(inputs, level, everyone)
    shown = np.all(answers >= 0, axis=1)
    answers, reference = answers[shown], reference[shown]
    margin, coverage, dropped = inputs.margin, inputs.plan["level"], int((~shown).sum())
    if metric == "accuracy":
        correct = (answers == reference[:, None]).astype(float)
        found = ai_versus_readers(correct[:, 0], correct[:, 1:], margin, coverage).as_dict()
        return found | ({"n_dropped": dropped} if inputs.edition > 2 else {})
    if inputs.edition > 1:
        return _wrong_macro(answers, reference, k, metric, (margin, coverage, dropped))
    cells = pair_cells(np.broadcast_to(reference[:, None], answers.shape), answers, k + 1)
    at = METRICS.index(metric.removeprefix("macro_"))

    def difference(tables: Floats) -> Floats:
        values = five_metrics(tables, k)[..., at]
        mean = values[..., 1:].mean(-1)
        return np.stack([values[..., 0], mean, values[..., 0] - mean], axis=-1)

    ai, mean, found = bootstrapped(inputs, cells, k + 1, difference, reference)
    low = found["low"]
    return {
        "ai": ai["estimate"], "readers_mean": mean["estimate"], "difference": found["estimate"], "low": low,
        "high": found["high"], "method": found["method"], "n": len(reference), "level": coverage, "margin": margin,
        "non_inferior": None if margin is None or low is None else low > -margin, "p": None, "df": None, "se": None,
        "n_readers": len(inputs.primaries), "n_dropped": dropped,
        "note": "Undecided answers are wrong; the interval is for these readers, cases random.",
    }  # fmt: skip


def _wrong_macro(
    answers: Ints, reference: Ints, k: int, metric: str, plan: tuple[float | None, float, int]
) -> dict[str, Any] | None:
    """The AI in the first column against the mean of the others; ``plan``: margin, level, cases dropped."""
    if not len(reference):
        return None
    margin, coverage, dropped = plan
    values, covariance, differ = linearised(answers, reference, k, metric.removeprefix("macro_"))
    if not np.isfinite(values).all():
        return None
    found = from_covariance(
        values, covariance, n=len(reference), n_dropped=dropped, margin=margin, level=coverage
    ).as_dict()
    notes = "Undecided answers are wrong.", differ, found.get("note", "")
    return found | {"note": " ".join(filter(None, notes))}
