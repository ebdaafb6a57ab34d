"""Sessions over their course: order, time, images, recognised cases; and accuracy in parts of the cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from leukoweb.statistics.intervals import proportion
from leukoweb.statistics.results import to_json_value
from reader_study.analysis.cases import without
from reader_study.analysis.inputs import Answer, Evaluator, Inputs, Level

PARTS = ("first third", "second third", "last third")
TOO_FAST_S = 5.0  # an answer quicker than this on a case of several images was hardly looked at


def _share(inputs: Inputs, hits: int, n: int) -> dict[str, Any]:
    return proportion(hits, n, level=inputs.plan["level"]).as_dict()


def _right(inputs: Inputs, level: Level, evaluator: Evaluator) -> dict[str, bool]:
    """Case -> whether the answer was right; cases without an answer are absent."""
    out = {}
    for case, reference in zip(inputs.cases, inputs.reference(level), strict=True):
        label = evaluator.label(level, case.code)
        if label is not None:
            out[case.code] = label == reference
    return out


def order_report(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Accuracy and median time by thirds of each session's order, to see learning and fatigue."""
    out = []
    for evaluator in (*inputs.sessions, *inputs.assisted, *inputs.outside):
        placed = [answer for answer in evaluator.answers.values() if answer.position is not None]
        placed.sort(key=lambda answer: answer.position or 0)
        if len(placed) < 6:
            continue
        right = _right(inputs, level, evaluator)
        for part, answers in zip(PARTS, np.array_split(np.arange(len(placed)), 3), strict=True):
            chosen = [placed[index] for index in answers]
            known = [right[a.case] for a in chosen if a.case in right]
            out.append(
                {
                    "evaluator": evaluator.name, "part": part, "from": chosen[0].position, "to": chosen[-1].position,
                    "accuracy": _share(inputs, sum(known), len(known)), "median_s": _median(chosen),
                }
            )  # fmt: skip
    return out


def _median(answers: Sequence[Answer]) -> float | None:
    times = [a.seconds for a in answers if a.seconds is not None]
    return float(np.median(times)) if times else None


def times_report(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Reading times of each session: median, quartiles, sum; by right and wrong; answers that were very quick."""
    out = []
    for evaluator in (*inputs.sessions, *inputs.assisted, *inputs.outside):
        timed = [a for a in evaluator.answers.values() if a.seconds is not None]
        if not timed:
            continue
        right = _right(inputs, level, evaluator)
        seconds = np.array([a.seconds for a in timed], dtype=float)
        quarter, middle, upper = np.percentile(seconds, [25, 50, 75])
        quick = [a.case for a in timed if (a.seconds or 0) < TOO_FAST_S and (a.row.get("n_images") or 0) >= 3]
        out.append(
            to_json_value(
                {
                    "evaluator": evaluator.name, "n": len(timed), "median_s": middle, "q1_s": quarter, "q3_s": upper,
                    "shortest_s": seconds.min(), "longest_s": seconds.max(), "total_h": seconds.sum() / 3600,
                    "median_right_s": _median([a for a in timed if right.get(a.case) is True]),
                    "median_wrong_s": _median([a for a in timed if right.get(a.case) is False]),
                    "n_quick": len(quick), "quick": quick,
                }
            )
        )  # fmt: skip
    return out


def recognised_report(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Accuracy with and without the cases that the reader recognised."""
    return [
        {
            "evaluator": row["evaluator"], "n_recognised": row["n_recognised"], "cases": row["cases"],
            "all": _share(inputs, *row["all"]), "rest": _share(inputs, *row["rest"]),
        }
        for row in without(inputs, level)
    ]  # fmt: skip


def subgroup_report(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Accuracy of each evaluator in groups of cases: images per case (thirds), acquisition fields, reference class."""
    groups: list[tuple[str, str, list[int]]] = []
    for field, members in _groups(inputs, level).items():
        groups += [(field, name, indices) for name, indices in members.items()]
    evaluators = [e for e in inputs.evaluators if e.role != "reader" or e.primary]
    right = {e.name: _right(inputs, level, e) for e in evaluators}
    out = []
    for field, name, indices in groups:
        codes = [inputs.cases[index].code for index in indices]
        shares = {}
        for evaluator in evaluators:
            known = [right[evaluator.name][code] for code in codes if code in right[evaluator.name]]
            shares[evaluator.name] = _share(inputs, sum(known), len(known))
        out.append({"field": field, "group": name, "n": len(codes), "accuracy": shares})
    return out


def _groups(inputs: Inputs, level: Level) -> dict[str, dict[str, list[int]]]:
    """Field -> group -> positions of its cases. Fields with one group say nothing and are left out."""
    out: dict[str, dict[str, list[int]]] = {}
    counts = [case.n_images for case in inputs.cases]
    if all(count is not None for count in counts) and len(set(counts)) > 2:
        out["Images per case"] = _thirds([int(count or 0) for count in counts])
    fields = sorted({field for case in inputs.cases for field in case.subgroups})
    for field in fields:
        values = [case.subgroups.get(field) or "not recorded" for case in inputs.cases]
        out[field] = {value: [i for i, v in enumerate(values) if v == value] for value in sorted(set(values))}
    reference = inputs.reference(level)
    out["Reference class"] = {name: [i for i, r in enumerate(reference) if r == name] for name in level.classes}
    return {
        field: {name: indices for name, indices in members.items() if indices}
        for field, members in out.items()
        if sum(bool(indices) for indices in members.values()) > 1
    }


def _thirds(counts: Sequence[int]) -> dict[str, list[int]]:
    low, high = np.percentile(counts, [100 / 3, 200 / 3], method="inverted_cdf")
    names = f"up to {low:.0f}", f"{low + 1:.0f} to {high:.0f}", f"more than {high:.0f}"
    group = [0 if count <= low else 1 if count <= high else 2 for count in counts]
    return {names[g]: [i for i, own in enumerate(group) if own == g] for g in range(3)}
