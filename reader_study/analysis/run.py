"""From frozen inputs to the result (schema ``leukoweb/study-results/1``): one pure, deterministic function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy
import scipy

from leukoweb.statistics.editions import computed_as
from reader_study.analysis.arms import arms_report
from reader_study.analysis.canonical import rounded, sha256_of
from reader_study.analysis.cases import case_rows, changed_cases, discordance
from reader_study.analysis.comparisons import pair_report, undecided_report
from reader_study.analysis.endpoints import endpoints_report
from reader_study.analysis.inputs import Evaluator, Inputs, Level, parse
from reader_study.analysis.levels import level_report
from reader_study.analysis.pauses import pauses_report
from reader_study.analysis.remarks import marks_in_words, remarks
from reader_study.analysis.sessions import order_report, recognised_report, subgroup_report, times_report

SCHEMA = "leukoweb/study-results/1"

Progress = Callable[[int, int, str], None]


def steps(document: Mapping[str, Any]) -> int:
    """How many times ``progress`` will be called: once for each level, then for the endpoints."""
    return len(document["plan"]["levels"]) + 1


def analyse(document: Mapping[str, Any], *, version: str = "", progress: Progress | None = None) -> dict[str, Any]:
    """The whole result as plain JSON data, floats to twelve significant digits.

    Parameters
    ----------
    document
        Frozen inputs (``inputs.parse``).
    version
        Of the software; stored, and no number depends on it.
    progress
        Called with (done, total, what) after each level.

    Raises
    ------
    InputsRefused
        The study cannot be analysed as it stands.
    StatisticsError
        An option lies outside its limits.
    """
    inputs = parse(document)
    with computed_as(inputs.edition):
        return _analysed(inputs, document, version, progress)


def _analysed(
    inputs: Inputs, document: Mapping[str, Any], version: str, progress: Progress | None
) -> dict[str, Any]:
    total = steps(document)
    levels: dict[str, Any] = {}
    for number, level in enumerate(inputs.levels, start=1):
        levels[level.name] = _level(inputs, level)
        if progress:
            progress(number, total, level.title)
    first = levels[inputs.levels[0].name]
    result = {
        "schema": SCHEMA,
        "inputs_sha256": sha256_of(document),
        "software": {"leukoweb": version, "numpy": numpy.__version__, "scipy": scipy.__version__},
        "study": dict(inputs.study),
        "protocol": {key: document["protocol"][key] for key in ("version", "sha256")},
        "plan": dict(inputs.plan),
        "marks": {"interim": inputs.interim, "words": marks_in_words(inputs)},
        "evaluators": [_about(inputs, e) for e in inputs.evaluators],
        "table1": [_table_one(inputs, level) for level in inputs.levels],
        "flow": document.get("flow", {}),
        "endpoints": endpoints_report(inputs, first, first["undecided"], first["arms"]),
        "levels": levels,
        "sessions": {
            "order": order_report(inputs, inputs.levels[0]),
            "times": times_report(inputs, inputs.levels[0]),
            "recognised": recognised_report(inputs, inputs.levels[0]),
        },
        "remarks": remarks(inputs, levels),
    }
    if inputs.edition > 1:
        result |= {"edition": inputs.edition, "washout": pauses_report(inputs)}
    if progress:
        progress(total, total, "endpoints")
    plain: dict[str, Any] = rounded(result)
    return plain


def _level(inputs: Inputs, level: Level) -> dict[str, Any]:
    pairs = [pair_report(inputs, level, inputs.ai, other) for other in inputs.comparators] if inputs.ai else []
    report = level_report(inputs, level)
    return report | {
        "name": level.name,
        "title": level.title,
        "classes": list(level.classes),
        "positive": list(level.positive),
        "comparators": pairs,
        "undecided": undecided_report(inputs, level, report["evaluators"]),
        "arms": arms_report(inputs, level),
        "discordance": discordance(inputs, level),
        "changed": changed_cases(inputs, level),
        "subgroups": subgroup_report(inputs, level),
        "cases": case_rows(inputs, level),
    }


def _about(inputs: Inputs, evaluator: Evaluator) -> dict[str, Any]:
    """Who or what an evaluator is; its answers stand in the inputs."""
    times = [str(a.row["answered_at"]) for a in evaluator.answers.values() if a.row.get("answered_at")]
    return {
        "name": evaluator.name, "kind": evaluator.kind, "role": evaluator.role, "reader": evaluator.reader,
        "session": evaluator.session, "primary": evaluator.primary, "arm": evaluator.arm,
        "imported": evaluator.imported, "n_answers": len(evaluator.answers),
        "n_undecided": sum(
            any(inputs.undecided(evaluator, level, case) for level in inputs.levels) for case in evaluator.answers
        ),
        "first_at": min(times, default=None), "last_at": max(times, default=None),
        "profile": dict(evaluator.row.get("profile") or {}), "provenance": dict(evaluator.row.get("provenance") or {}),
    } | ({"in_protocol": False} if evaluator.foreign else {})  # fmt: skip


def _table_one(inputs: Inputs, level: Level) -> dict[str, Any]:
    """Patients and images by class, and the acquisition fields by class."""
    reference = inputs.reference(level)
    rows = []
    for name in level.classes:
        own = [case for case, label in zip(inputs.cases, reference, strict=True) if label == name]
        images = [case.n_images for case in own]
        known = [count for count in images if count is not None]
        rows.append(
            {
                "class": name, "patients": len(own), "images": sum(known) if len(known) == len(images) else None,
                "fewest": min(known, default=None), "most": max(known, default=None),
            }
        )  # fmt: skip
    fields: dict[str, list[dict[str, Any]]] = {}
    for field in sorted({key for case in inputs.cases for key in case.subgroups}):
        values = sorted({case.subgroups.get(field) or "not recorded" for case in inputs.cases})
        fields[field] = [
            {
                "value": value,
                "counts": [
                    sum((c.subgroups.get(field) or "not recorded") == value and r == name
                        for c, r in zip(inputs.cases, reference, strict=True))
                    for name in level.classes
                ],
            }
            for value in values
        ]  # fmt: skip
    return {"level": level.name, "classes": list(level.classes), "rows": rows, "fields": fields}
