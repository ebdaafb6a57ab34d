"""Patients, not images: the hierarchy against a single model (Fig. 7), other thresholds, two pipelines compared.

Everything is computed from per-image probabilities that are kept, so no model runs for another rule. The sweep of
thresholds looks at internal-validation patients alone; the external set must never choose a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classes import COLLAPSE_5_TO_3, DIAGNOSES_3, DIAGNOSES_5
from inference.pipeline.hierarchy import Decision, decide
from inference.pipeline.rules import RULE_SETS, RuleSet, Threshold
from inference.pipeline.validation import METRICS, RESAMPLES, SEED, macro_values, size_group
from leukoweb.statistics.bootstrap import Replicates, bootstrap_interval, bootstrap_tables, make_scheme
from leukoweb.statistics.classification import accuracy
from leukoweb.statistics.confusion import confusion_matrix, pair_cells
from leukoweb.statistics.intervals import proportion
from leukoweb.statistics.paired import mcnemar
from leukoweb.statistics.results import Estimate, to_json_value

Tables = Mapping[str, NDArray[np.float64]]  # slot or comparator -> (n_images, n_classes), images of all patients
LEVELS: Final = {"3": DIAGNOSES_3, "5": DIAGNOSES_5}
_COUNTS: Final = (1, 2, 3, 4, 5, 7, 10)
_FRACTIONS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class Case:
    """A patient: the reference, and which rows of the tables are the patient's images."""

    patient: str
    reference: str  # one of the five diagnoses
    rows: tuple[int, ...]
    device: str = ""


@dataclass(frozen=True, slots=True)
class Comparator:
    """A single model whose image labels are counted."""

    name: str
    classes: tuple[str, ...]


def pipeline_report(
    cases: Sequence[Case], tables: Tables, rules: RuleSet, comparators: Sequence[Comparator] = (),
    *, resamples: int = RESAMPLES,
) -> dict[str, Any]:  # fmt: skip
    """JSON-ready: patients (reference and every evaluator's call), evaluators by level, differences, sweep."""
    calls = {"hierarchy": [_by_rules(case, tables, rules) for case in cases]}
    calls |= {c.name: [_by_majority(case, tables, c) for case in cases] for c in comparators}
    report: dict[str, Any] = {
        "rules": rules.as_dict(),
        "n_patients": len(cases),
        "n_images": sum(len(case.rows) for case in cases),
        "patients": [
            {"patient": case.patient, "reference": case.reference, "n_images": len(case.rows), "device": case.device}
            | {name: list(found[i]) for name, found in calls.items()}
            for i, case in enumerate(cases)
        ],
        "levels": {level: _level(cases, calls, level, resamples) for level in LEVELS},
        "sweep": sweep(cases, tables, rules) if rules.kind == "hierarchical" else [],
    }
    plain: dict[str, Any] = to_json_value(report)
    return plain


def references(report: Mapping[str, Any], level: str) -> list[str]:
    """The patients' references of a stored report at a level."""
    return [_at(patient["reference"], level) for patient in report["patients"]]


def called(report: Mapping[str, Any], name: str, level: str) -> list[str | None]:
    return [patient[name][0 if level == "3" else 1] for patient in report["patients"]]


def compare_reports(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` minus ``second`` on the patients that both have, by each level that both give; both hierarchies.

    ``changed``: patients whom the two call otherwise, with their calls at those levels, the finest last.

    Raises ValueError where they share no patient: then there is nothing to compare.
    """
    ours = {patient["patient"]: patient for patient in first["patients"]}
    theirs = {patient["patient"]: patient for patient in second["patients"]}
    shared = [code for code in ours if code in theirs]
    if not shared:
        raise ValueError("the two reports share no patient")
    levels = {}
    for level in LEVELS:
        index = 0 if level == "3" else 1
        reference = [_at(ours[code]["reference"], level) for code in shared]
        a, b = ([side[code]["hierarchy"][index] for code in shared] for side in (ours, theirs))
        found = paired_difference(reference, a, b, LEVELS[level])
        if found is not None:
            levels[level] = found
    changed = []
    for code in shared:
        calls = [[side[code]["hierarchy"][list(LEVELS).index(level)] for level in levels] for side in (ours, theirs)]
        if calls[0] != calls[1]:
            truth = _at(ours[code]["reference"], max(levels))
            changed.append({"patient": code, "reference": truth, "first": calls[0], "second": calls[1]})
    return {"n_patients": len(shared), "levels": levels, "changed": changed}


def paired_difference(
    reference: Sequence[str], first: Sequence[str | None], second: Sequence[str | None], classes: Sequence[str],
    *, resamples: int = RESAMPLES,
) -> dict[str, Any] | None:  # fmt: skip
    """Exact match and macro figures of two evaluators of the same patients, and their differences.

    None where one of them does not give this level.

    The intervals come from the same resampled patients for both; McNemar's test is the mid-p one.
    """
    if not all(first) or not all(second):
        return None
    codes = [np.array([classes.index(str(x)) for x in column]) for column in (reference, first, second)]
    replicates = _replicates(codes[0], codes[1:], len(classes), resamples)
    names = ("exact_match", *METRICS)  # the accuracy of METRICS is the mean over classes, one against the rest
    size = len(names)
    right = [codes[1] == codes[0], codes[2] == codes[0]]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    found = {
        "n": len(reference),
        "first": {name: _estimate(replicates, i, len(reference)) for i, name in enumerate(names)},
        "second": {name: _estimate(replicates, size + i, len(reference)) for i, name in enumerate(names)},
        "difference": {name: _estimate(replicates, 2 * size + i, len(reference)) for i, name in enumerate(names)},
        "only_first_right": only[0],
        "only_second_right": only[1],
        "p": mcnemar(*only, n=len(reference), method="mid-p").p,
    }
    plain: dict[str, Any] = to_json_value(found)
    return plain


def sweep(cases: Sequence[Case], tables: Tables, rules: RuleSet) -> list[dict[str, Any]]:
    """Other gates under otherwise equal rules: leukemia found, normals kept, macro F1, also by number of images."""
    gates = [Threshold("count", n) for n in _COUNTS] + [Threshold("fraction", share) for share in _FRACTIONS]
    if rules.gate is not None and rules.gate not in gates:
        gates.insert(0, rules.gate)
    rows = []
    for gate in gates:
        swept = replace(rules, name=rules.name, gate=gate)
        calls = [_by_rules(case, tables, swept)[0] for case in cases]
        rows.append({"gate": gate.as_dict(), "current": gate == rules.gate} | _gate_figures(cases, calls))
    return rows


CHOSEN: Final = "-swept"


def was_chosen(rules: Mapping[str, Any]) -> bool:
    """Whether a stored rule set is one that ``chosen_rules`` made."""
    return str(rules.get("name", "")).endswith(CHOSEN)


def chosen_rules(rules: RuleSet, gate: Mapping[str, Any]) -> RuleSet:
    """The rules with another gate, under a name of their own, whose free version the caller knows: a choice is a new
    version, never a change."""
    base = rules.name.removesuffix(CHOSEN)[: 64 - len(CHOSEN)]
    return replace(rules, name=base + CHOSEN, gate=Threshold.from_dict(gate, "gate"))


def _gate_figures(cases: Sequence[Case], calls: Sequence[str | None]) -> dict[str, Any]:
    truth = np.array([_at(case.reference, "3") for case in cases])
    said = np.array([str(call) for call in calls])
    ill, found = truth != "NO_LEUKEMIA", said != "NO_LEUKEMIA"
    codes = [np.array([DIAGNOSES_3.index(x) for x in column]) for column in (truth, said)]
    table = confusion_matrix(codes[0], codes[1], len(DIAGNOSES_3))
    groups = [size_group(len(case.rows)) for case in cases]
    by_size = []
    for name in dict.fromkeys(sorted(groups)):
        inside = np.array([group == name for group in groups])
        by_size.append(
            {"name": name, "n": int(inside.sum()),
             "sensitivity": _share(found, ill & inside), "specificity": _share(~found, ~ill & inside)}
        )  # fmt: skip
    return {
        "sensitivity": _share(found, ill), "specificity": _share(~found, ~ill),
        "macro_f1_3": float(macro_values(table.astype(np.float64))[METRICS.index("f1")]),
        "accuracy_3": float(accuracy(table)),
        "by_size": by_size,
    }  # fmt: skip


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
    return proportion(int((hits & among).sum()), int(among.sum()))


def _level(
    cases: Sequence[Case], calls: Mapping[str, Sequence[tuple[str | None, str | None]]], level: str, resamples: int
) -> dict[str, Any]:
    classes, index = LEVELS[level], 0 if level == "3" else 1
    reference = [_at(case.reference, level) for case in cases]
    given = {name: [call[index] for call in found] for name, found in calls.items()}
    given = {name: found for name, found in given.items() if all(found)}
    evaluators = {name: _evaluator(reference, found, classes, resamples) for name, found in given.items()}
    differences = {
        name: paired_difference(reference, given["hierarchy"], found, classes, resamples=resamples)
        for name, found in given.items()
        if name != "hierarchy" and "hierarchy" in given
    }
    return {"classes": list(classes), "evaluators": evaluators, "hierarchy_minus": differences}


def _evaluator(reference: Sequence[str], found: Sequence[str | None], classes: Sequence[str], resamples: int) -> Any:
    truth = np.array([classes.index(x) for x in reference])
    said = np.array([classes.index(str(x)) for x in found])
    replicates = _replicates(truth, [said], len(classes), resamples)
    n = len(reference)
    per_class = {}
    for k, name in enumerate(classes):
        ill, call = truth == k, said == k
        per_class[name] = {
            "ppv": _share(ill, call), "sensitivity": _share(call, ill),
            "f1": _estimate(replicates, 1 + len(METRICS) + k, n),
            "accuracy": _share(ill == call, np.ones(n, dtype=bool)), "specificity": _share(~call, ~ill),
        }  # fmt: skip
    return {
        "confusion": confusion_matrix(truth, said, len(classes)),
        "exact_match": proportion(int((truth == said).sum()), n),
        "macro": {name: _estimate(replicates, 1 + i, n) for i, name in enumerate(METRICS)},
        "per_class": per_class,
    }


def _replicates(truth: Any, columns: Sequence[Any], k: int, resamples: int) -> Replicates:
    """For one evaluator: accuracy, macros, class F1s. For two: accuracy and macros of each, then the differences."""
    cells = pair_cells(np.repeat(truth[:, None], len(columns), axis=1), np.stack(columns, axis=1), k)

    def statistic(tables: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.concatenate([accuracy(tables)[..., None], macro_values(tables)], axis=-1)  # (..., m, 6 + K)
        if len(columns) == 1:
            return values[..., 0, :]
        first, second = values[..., 0, : 1 + len(METRICS)], values[..., 1, : 1 + len(METRICS)]
        return np.concatenate([first, second, first - second], axis=-1)

    scheme = make_scheme(len(truth), strata=truth)
    return bootstrap_tables(cells, k, statistic, scheme, resamples=resamples, seed=SEED)


def _estimate(replicates: Replicates, index: int, n: int) -> Estimate:
    interval = bootstrap_interval(replicates, index)
    value = float(replicates.estimate[index])
    return Estimate(value, interval.low, interval.high, interval.method, n, note=interval.note)


def _by_rules(case: Case, tables: Tables, rules: RuleSet) -> tuple[str | None, str | None]:
    rows = list(case.rows)
    chosen = {slot: tables[slot][rows] for slot in rules.slots if slot in tables}
    classes = None
    if rules.kind == "majority":
        classes = DIAGNOSES_3 if tables["single_model"].shape[1] == len(DIAGNOSES_3) else DIAGNOSES_5
    return _both(decide(rules, **chosen, classes=classes))  # type: ignore[arg-type]


def _by_majority(case: Case, tables: Tables, comparator: Comparator) -> tuple[str | None, str | None]:
    rules = RULE_SETS["single-model-majority"]
    return _both(decide(rules, single_model=tables[comparator.name][list(case.rows)], classes=comparator.classes))


def _both(decision: Decision) -> tuple[str | None, str | None]:
    return decision.diagnosis_3, decision.diagnosis_5


def _at(diagnosis: str, level: str) -> str:
    return diagnosis if level == "5" else COLLAPSE_5_TO_3[diagnosis]
