"""The AI against the mean of the readers (one fixed evaluator, random readers, random cases)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.classification import METRICS, class_metrics, divide
from leukoweb.statistics.confusion import Bools, Floats, Ints, confusion_matrix
from leukoweb.statistics.covariance import proportion_covariance
from leukoweb.statistics.editions import edition
from leukoweb.statistics.intervals import macro_influence
from leukoweb.statistics.mrmc import AiVersusReaders, ai_versus_readers, from_covariance
from leukoweb.statistics.ratings_evaluators import binary_codes, evaluator_statistics
from leukoweb.statistics.ratings_table import Study

MACROS = tuple(f"macro_{name}" for name in METRICS)
Linearised = Callable[[Floats, Floats], AiVersusReaders]


def ai_report(study: Study) -> dict[str, Any] | None:
    """AI minus the mean of the readers' primary sessions; None without AI, reference or reader.

    Cases are those with a reference that the AI and every reader read. Accuracy, sensitivity and specificity are
    proportions; macro metrics, PPV, NPV and F1 enter through their linearised values. With positive classes, the
    comparisons of the binary table stand under ``binary``.
    """
    if study.reference is None or not study.ai or not study.primaries:
        return None
    columns = np.array([0, *study.primaries])
    together = study.codes[:, columns]
    complete = np.all(together >= 0, axis=1) & (study.reference >= 0)
    together, reference = together[complete], study.reference[complete]
    clusters = None if study.clusters is None else study.clusters[complete]
    dropped = int((~complete).sum())
    margin, level = study.plan.margin, study.plan.level

    def compare(values: Floats) -> AiVersusReaders:
        return ai_versus_readers(values[:, 0], values[:, 1:], margin, level, clusters=clusters)

    def linearised(estimates: Floats, casewise: Floats) -> AiVersusReaders:
        covariance = proportion_covariance(casewise, clusters)
        return from_covariance(estimates, covariance, n=len(casewise), n_dropped=dropped, margin=margin, level=level)

    correct = (together == reference[:, None]).astype(np.float64)
    found = {"accuracy": compare(correct)}
    found |= _macro_comparisons(together, reference, study.n_classes, linearised)
    binary: dict[str, AiVersusReaders] = {}
    own: dict[str, int] = {}  # left out of those whom a metric is about
    if study.positive:
        answers, truth = binary_codes(together, study.positive) == 0, binary_codes(reference, study.positive) == 0
        over = None if clusters is not None else int(truth.size)
        if edition() > 2:
            lost = binary_codes(study.reference[~complete], study.positive)
            own = {"sensitivity": int((lost == 0).sum()), "specificity": int((lost == 1).sum())}
        for name, rows, hit in (("sensitivity", truth, answers), ("specificity", ~truth, ~answers)):
            inside = None if clusters is None else clusters[rows]
            values = hit[rows].astype(np.float64)
            binary[name] = ai_versus_readers(
                values[:, 0], values[:, 1:], margin, level, clusters=inside, jackknife_over=over
            )
        binary |= _predictive_comparisons(answers, truth, linearised)

    def as_dicts(results: dict[str, AiVersusReaders]) -> dict[str, Any]:
        return {name: {**result.as_dict(), "n_dropped": own.get(name, dropped)} for name, result in results.items()}

    return as_dicts(found) | ({"binary": as_dicts(binary)} if binary else {})


def _macro_comparisons(
    together: Ints, reference: Ints, n_classes: int, compare: Linearised
) -> dict[str, AiVersusReaders]:
    tables = [confusion_matrix(reference, column, n_classes) for column in together.T]
    if not len(reference):
        return {}
    values = [dict(zip(MACROS, evaluator_statistics(table), strict=False)) for table in tables]
    influences = [macro_influence(table) for table in tables]
    out = {}
    for name in MACROS:
        estimates = np.array([value[name] for value in values])
        cells = zip(influences, together.T, strict=True)
        casewise = np.stack([influence[name][reference, column] for influence, column in cells], axis=1)
        if np.all(np.isfinite(estimates)):
            out[name] = _same_classes(compare(estimates, casewise), tables, name.removeprefix("macro_"))
    return out


def _same_classes(result: AiVersusReaders, tables: list[Ints], metric: str) -> AiVersusReaders:
    """A note when evaluators leave out different classes, so that their averages are not of the same things."""
    defined = {tuple(np.isfinite(class_metrics(table)[metric])) for table in tables}
    if len(defined) == 1:
        return result
    note = "The averages are over different classes, for some evaluators leave a class undefined."
    return replace(result, note=f"{result.note} {note}".strip())


def _predictive_comparisons(answers: Bools, truth: Bools, compare: Linearised) -> dict[str, AiVersusReaders]:
    """PPV, NPV and F1 of the positive classes as ratios of means: influence (top - ratio * bottom) / mean bottom."""
    true = truth[:, None]
    ratios: dict[str, tuple[ArrayLike, ArrayLike]] = {
        "ppv": (answers & true, answers),
        "npv": (~answers & ~true, ~answers),
        "f1": (2.0 * (answers & true), 1.0 * answers + true),
    }
    out = {}
    for name, (top, bottom) in ratios.items():
        hits, among = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
        estimates = divide(hits.sum(0), among.sum(0))
        if np.all(np.isfinite(estimates)):
            out[name] = compare(estimates, (hits - estimates * among) / among.mean(0))
    return out
