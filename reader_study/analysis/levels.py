"""One level of classes: everything that the statistics library says about the evaluators at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from leukoweb.statistics.agreement import kappa_values
from leukoweb.statistics.bootstrap import bootstrap_interval, bootstrap_tables, make_scheme, weighted_tables
from leukoweb.statistics.classification import class_metrics, macro_average
from leukoweb.statistics.confusion import Floats, Ints, confusion_matrix, encode, pair_cells
from leukoweb.statistics.covariance import proportion_covariance
from leukoweb.statistics.intervals import macro_influence, mean_of_independent, proportion
from leukoweb.statistics.ratings import RatingsPlan, analyse_ratings
from leukoweb.statistics.results import Estimate
from reader_study.analysis.inputs import Evaluator, Inputs, Level

REFERENCE = "reference"  # a column; those of evaluators and readers have a prefix, for a reader may be called so
FEW_PATIENTS = 10


def ratings_plan(inputs: Inputs, level: Level, **changes: Any) -> RatingsPlan:
    """The plan of the whole study at one level, by the names of its evaluators."""
    plan = inputs.plan
    sessions: dict[str, tuple[str, ...]] = {}
    for reader in dict.fromkeys(e.reader for e in inputs.sessions):
        own = [e for e in inputs.sessions if e.reader == reader]
        ordered = sorted(own, key=lambda e: (not e.primary, e.session))
        sessions[_reader(reader)] = tuple(_column(e) for e in ordered)
    base: dict[str, Any] = {
        "raters": tuple(sessions),
        "classes": level.classes,
        "sessions": {reader: names for reader, names in sessions.items() if len(names) > 1},
        "reference": REFERENCE,
        "ai": _column(inputs.ai) if inputs.ai else None,
        "positive": level.positive,
        "margin": inputs.margin,
        "bootstrap": plan["resamples"],
        "seed": plan["seed"],
        "level": plan["level"],
    }
    # A reader with one session is known by that session's column.
    base["raters"] = tuple(reader if len(sessions[reader]) > 1 else sessions[reader][0] for reader in sessions)
    return RatingsPlan(**(base | changes))


def _column(evaluator: Evaluator) -> str:
    return f"e:{evaluator.name}"


def _reader(name: str) -> str:
    return f"r:{name}"


def columns(inputs: Inputs, level: Level, *, only: set[str] | None = None) -> dict[str, list[str | None]]:
    """Labels of every evaluator and the reference; with ``only``, of these cases."""
    keep = [only is None or case.code in only for case in inputs.cases]
    out: dict[str, list[str | None]] = {
        _column(e): [label for label, k in zip(inputs.labels(e, level), keep, strict=True) if k]
        for e in inputs.evaluators
    }
    out[REFERENCE] = [label for label, k in zip(inputs.reference(level), keep, strict=True) if k]
    return out


def level_report(inputs: Inputs, level: Level) -> dict[str, Any]:
    """``analyse_ratings`` on AI and blinded sessions, each further evaluator alone, and the comparison of kappas."""
    table = columns(inputs, level)
    report = _plain(analyse_ratings(table, ratings_plan(inputs, level))) if inputs.ai or inputs.sessions else None
    others = {}
    for evaluator in (*inputs.comparators, *inputs.assisted, *inputs.outside):
        plan = ratings_plan(inputs, level, raters=(), sessions={}, ai=_column(evaluator), margin=None)
        others[evaluator.name] = _plain(analyse_ratings(table, plan))["evaluators"][evaluator.name]
    out: dict[str, Any] = report or {
        "design": {"notes": []}, "evaluators": {}, "intra_observer": [], "pairwise": [], "multi_rater": None,
        "ai_vs_readers": None, "cochran_q": None, "paired": [],
    }  # fmt: skip
    out["evaluators"] = out["evaluators"] | others
    if few_patients(inputs, level):
        for found in out["evaluators"].values():
            _prefer(found, ("macro_sensitivity", "macro_ppv"), inputs.edition)
    out["kappa_summary"] = kappa_summary(inputs, level, out["pairwise"])
    return out


def few_patients(inputs: Inputs, level: Level) -> bool:
    """Whether a class of the reference has so few patients that macro sensitivity and PPV need analytic intervals."""
    return any(0 < inputs.reference(level).count(name) < FEW_PATIENTS for name in level.classes)


def prefer_analytic_macros(
    inputs: Inputs, level: Level, found: dict[str, dict[str, Any]], answers: Ints, reference: Ints
) -> None:
    """What ``level_report`` shows for one evaluator, for metrics by their short names that a comparison made.

    ``answers`` (n,) and ``reference`` (n,) are codes; code K is undecided. Since the third edition.
    """
    if inputs.edition < 3 or not few_patients(inputs, level):
        return
    coverage = inputs.plan["level"]
    for name, item in found.items():
        if name not in ("sensitivity", "ppv") or item["estimate"] is None:
            continue
        parts = []
        for k in range(len(level.classes)):
            among = (reference if name == "sensitivity" else answers) == k
            parts.append(proportion(int((among & (reference == answers)).sum()), int(among.sum()), level=coverage))
        closed = mean_of_independent(parts, n=len(reference), level=coverage).as_dict()
        item["analytic"] = {key: closed[key] for key in ("low", "high", "method")}
        _prefer({name: item}, (name,), inputs.edition)


def _prefer(found: Mapping[str, Any], names: Iterable[str], edition: int) -> None:
    """Macro sensitivity and PPV with their analytic interval; the bootstrap one, too narrow here, is kept beside it.

    With few patients in a class the bootstrap interval of these two covers less than it says (docs/statistics.md).
    The bootstrap's note and standard error go with it; up to the third edition they stayed beside the other interval.
    """
    for name in names:
        item = found.get(name, {})
        closed = item.get("analytic")
        if not closed or closed["low"] is None or closed["high"] is None:
            continue
        if edition > 3 and item["method"] == closed["method"]:  # shown already, for the bootstrap gave none
            del item["analytic"]
            continue
        item["bootstrap"] = {key: item[key] for key in ("low", "high", "method")}
        if edition > 3:
            item["bootstrap"] |= {key: item.pop(key) for key in ("se", "note") if key in item}
        item |= closed
        del item["analytic"]


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """The report with evaluators under their own names again."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {strip(key): strip(item) for key, item in value.items()}
        if isinstance(value, list):
            return [strip(item) for item in value]
        return value[2:] if isinstance(value, str) and value[:2] in ("e:", "r:") else value

    plain: dict[str, Any] = strip(report)
    return plain


def codes(inputs: Inputs, level: Level, evaluators: tuple[Evaluator, ...]) -> tuple[Ints, Ints]:
    """(n, E) codes of the evaluators, -1 = no answer, and (n,) of the reference."""
    answers = [encode(inputs.labels(e, level), level.classes, column=e.name) for e in evaluators]
    reference = encode(inputs.reference(level), level.classes, column=REFERENCE)
    return np.stack(answers, axis=1) if answers else np.empty((len(reference), 0), dtype=np.int64), reference


def wrong_codes(inputs: Inputs, level: Level, evaluators: tuple[Evaluator, ...]) -> tuple[Ints, Ints]:
    """As ``codes``, with K for an undecided answer: no class, so always wrong. -1 is a case that nobody answered."""
    answers, reference = codes(inputs, level, evaluators)
    for column, evaluator in enumerate(evaluators):
        undecided = np.array([inputs.undecided(evaluator, level, case.code) for case in inputs.cases], dtype=bool)
        answers[undecided, column] = len(level.classes)
    return answers, reference


def ruled_codes(inputs: Inputs, level: Level, evaluators: tuple[Evaluator, ...]) -> tuple[Ints, Ints, int]:
    """Codes as the protocol's rule for undecided answers has them, and how many codes there are (K, or K + 1)."""
    k = len(level.classes)
    if inputs.undecided_wrong:
        return *wrong_codes(inputs, level, evaluators), k + 1
    return *codes(inputs, level, evaluators), k


def linearised(answers: Ints, reference: Ints, n_classes: int, metric: str) -> tuple[Floats, Floats, str]:
    """Values of a macro metric and their covariance over cases by influence functions.  # (E,), (E, E) from (n, E)

    The delta method with multinomial cells (``macro_influence``; Takahashi et al. 2022,
    doi:10.1007/s10489-021-01635-5), the classes that enter held fixed; evaluators who read the same cases keep their
    covariance. Code ``n_classes`` is an undecided answer. The text says where evaluators average over different
    classes; NaN where one has no class at all.
    """
    n_codes = n_classes + 1
    tables = [confusion_matrix(reference, column, n_codes) for column in answers.T]
    per_class = np.stack([class_metrics(table)[metric][:n_classes] for table in tables])
    influences = [macro_influence(table, declared=n_classes)[f"macro_{metric}"] for table in tables]
    casewise = np.stack(
        [influence[reference, column] for influence, column in zip(influences, answers.T, strict=True)], axis=1
    )
    values = macro_average(per_class).value
    differ = len({tuple(row) for row in np.isfinite(per_class)}) > 1
    note = "The averages are over different classes, for some evaluators leave a class undefined." if differ else ""
    if not np.isfinite(values).all():
        return values, np.full((len(tables),) * 2, np.nan), note
    return values, proportion_covariance(casewise), note


def kappa_summary(inputs: Inputs, level: Level, pairwise: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Smallest, largest and mean kappa of the AI with the readers and between readers, and the difference of means.

    Only primary sessions. The interval of each mean and of the difference comes from one bootstrap of patients, all
    pairs resampled together; ranges have none. None without two readers.
    """
    primary = [pair for pair in pairwise if pair["primary"]]
    kinds = {
        kind: [pair["kappa"]["estimate"] for pair in primary if pair["kind"] == kind]
        for kind in ("ai-reader", "reader-reader")
    }
    if not kinds["reader-reader"]:
        return None
    out: dict[str, Any] = {}
    for kind, values in kinds.items():
        known = [value for value in values if value is not None]
        out[kind] = {"n_pairs": len(values), "lowest": min(known, default=None), "highest": max(known, default=None)}
    if inputs.ai is None:
        return out | {"reader-reader": out["reader-reader"] | {"mean": _means(inputs, level, ai=False)[0]}}
    ai, readers, difference = _means(inputs, level, ai=True)
    out["ai-reader"]["mean"], out["reader-reader"]["mean"], out["difference"] = ai, readers, difference
    return out


def _means(inputs: Inputs, level: Level, *, ai: bool) -> list[dict[str, Any]]:
    everyone = ((inputs.ai,) if ai and inputs.ai else ()) + inputs.primaries
    answers, reference = codes(inputs, level, everyone)
    n, k = len(everyone), len(level.classes)
    left, right = np.triu_indices(n, 1)
    with_ai = (left == 0) if ai else np.zeros(len(left), dtype=bool)
    cells = pair_cells(answers[:, left], answers[:, right], k)

    def means(tables: Floats) -> Floats:
        kappas = kappa_values(tables)
        readers = kappas[..., ~with_ai].mean(-1)
        if not ai:
            return readers[..., None]
        own = kappas[..., with_ai].mean(-1)
        return np.stack([own, readers, own - readers], axis=-1)

    found = bootstrapped(inputs, cells, k, means, reference)
    if inputs.edition > 3:  # cases that two evaluators gave a class for, not all of the study
        read = cells >= 0
        entered = [read[:, with_ai], read[:, ~with_ai], read] if ai else [read]
        for item, pairs in zip(found, entered, strict=True):
            item["n"] = int(pairs.any(axis=1).sum())
    return found


def bootstrapped(inputs: Inputs, cells: Ints, n_classes: int, statistic: Any, reference: Ints) -> list[dict[str, Any]]:
    """Estimates of a vector of statistics with bootstrap intervals, patients drawn within the reference classes."""
    plan = inputs.plan
    if not plan["resamples"]:
        value = statistic(_full(cells, n_classes))[0]
        none = "interval needs the bootstrap"
        return [Estimate(float(v), np.nan, np.nan, "none", len(cells), note=none).as_dict() for v in value]
    found = bootstrap_tables(
        cells, n_classes, statistic, make_scheme(len(cells), strata=reference),
        resamples=plan["resamples"], seed=plan["seed"],
    )  # fmt: skip
    out = []
    for index, value in enumerate(found.estimate):
        limits = bootstrap_interval(found, index, level=plan["level"])
        estimate = Estimate(
            float(value), limits.low, limits.high, limits.method, len(cells), None, plan["level"], note=limits.note
        )
        out.append(estimate.as_dict())
    return out


def _full(cells: Ints, n_classes: int) -> Floats:
    return weighted_tables(cells, np.ones((1, len(cells)), dtype=np.float32), n_classes)
