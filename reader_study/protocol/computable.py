"""What a protocol promises and no analysis could compute.

It stops a lock, and an amendment that brings it in. A protocol that was locked with it before it was refused can still
be amended: its last day has to move, its readers have to be replaced.
"""

from __future__ import annotations

from typing import Any

from reader_study.protocol.checks import validate
from reader_study.protocol.document import KAPPA_COMPARISONS, MARGIN_COMPARISONS, PANEL, clean
from reader_study.protocol.nodes import Problem

Document = dict[str, Any]


def lock_problems(document: Any) -> list[Problem]:
    """Everything that stands between this document and a lock; empty when there is nothing."""
    return [*validate(document), *uncomputable(document)]


def uncomputable(document: Any) -> list[Problem]:
    """Endpoints without a number, a margin without a use, and labels that two evaluators would have."""
    cleaned, _ = clean(document)
    return [*_labels(cleaned), *_endpoints(cleaned), *_margin(cleaned)]


def _labels(document: Document) -> list[Problem]:
    """Tables name a reader with one session by the label, others by label and number; an AI by name and version."""
    readers, ai = document["readers"], document["ai"]
    taken = {PANEL.casefold(): "the panel that reads again after the unblinding"}
    for reader in readers:
        if len(reader["sessions"]) > 1:
            numbers = range(1, len(reader["sessions"]) + 1)
            taken |= {f"{reader['label']}-{n}".casefold(): f"session {n} of {reader['label']}" for n in numbers}
    for pipeline in [*([ai["primary"]] if ai["primary"] else []), *ai["comparators"]]:
        title = f"{pipeline['name']} {pipeline['version']}"
        taken[title.casefold()] = f"the pipeline {title}"
    return [
        Problem(f"readers.{number}.label", f"{reader['label']} is what tables call {whose}.", "Choose another label.")
        for number, reader in enumerate(readers, start=1)
        if (whose := taken.get(reader["label"].casefold()))
    ]


def _endpoints(document: Document) -> list[Problem]:
    problems = []
    for number, endpoint in enumerate(document["endpoints"], start=1):
        metric, comparison = endpoint["metric"], endpoint["comparison"]
        path = f"endpoints.{number}.comparison"
        possible = KAPPA_COMPARISONS.get(metric)
        if possible is not None and comparison not in possible:
            problems.append(
                Problem(path, f"{metric} has no comparison {comparison}.", f"It goes with {', '.join(possible)}.")
            )
        elif possible is not None and comparison == "ai_vs_reader_mean" and len(document["readers"]) < 2:
            problems.append(Problem(path, "The mean kappa between readers needs two readers."))
    return problems


def _margin(document: Document) -> list[Problem]:
    margin, path = document["non_inferiority_margin"], "non_inferiority_margin"
    if margin is None:
        return []
    if not 0 < margin < 1:
        return [Problem(path, f"A margin of {margin:g} says nothing; it lies between 0 and 1, both left out.",
                        "Write such as 0.05, or leave it empty for no claim of non-inferiority.")]  # fmt: skip
    primary = [endpoint for endpoint in document["endpoints"] if endpoint["role"] == "primary"]
    if any(e["comparison"] in MARGIN_COMPARISONS and e["metric"] not in KAPPA_COMPARISONS for e in primary):
        return []
    return [
        Problem(
            path,
            "No endpoint uses the margin: it belongs to a primary endpoint that compares a metric.",
            f"Compare the primary endpoint by {' or '.join(MARGIN_COMPARISONS)}, or leave the margin empty.",
        )
    ]
