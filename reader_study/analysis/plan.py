"""From a locked protocol to the plan of its analysis: levels of classes, endpoints, rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cases.taxonomy import FIVE_TO_THREE
from reader_study.protocol import reference_map

Document = Mapping[str, Any]
_RULES = {
    "margin": "non_inferiority_margin", "missing": "analysis.missing", "level": "analysis.level",
    "primary_session": "primary_session", "ai_primary": "ai.primary",
    "ai_comparators": "ai.comparators",
}  # fmt: skip


def levels_of(document: Document) -> list[dict[str, Any]]:
    """The protocol's classes, and for the five diagnoses also acute, chronic and none.

    A class is positive unless "no leukemia" belongs to it.
    """
    classes = list(document["classes"]["names"])
    name = document["classes"]["map"]
    healthy = reference_map(document).get("NO_LEUKEMIA")
    first = {
        "name": name, "title": f"{len(classes)} classes", "classes": classes, "map": {c: c for c in classes},
        "positive": [c for c in classes if c != healthy] if healthy in classes else [],
    }  # fmt: skip
    if name != "five":
        return [first]
    three = list(dict.fromkeys(FIVE_TO_THREE[c] for c in classes))
    return [
        first,
        {"name": "three", "title": f"{len(three)} classes", "classes": three,
         "map": {c: FIVE_TO_THREE[c] for c in classes}, "positive": [c for c in three if c != healthy]},
    ]  # fmt: skip


def plan_of(documents: Sequence[Document]) -> dict[str, Any]:
    """The plan of the newest of the protocol's versions, the oldest first.

    An endpoint counts as pre-specified when it stands since version 1 with the same role; else it says since when.
    ``since`` says of each rule since which version it stands as it does now. What was taken out and put back, or
    changed and changed back, counts from then on, for the data could have been seen in between.
    """
    newest = documents[-1]
    analysis = newest["analysis"]
    endpoints = []
    for endpoint in newest["endpoints"]:
        without = [number for number, document in enumerate(documents, 1) if endpoint not in document["endpoints"]]
        since = max(without, default=0) + 1
        endpoints.append(dict(endpoint) | {"since_version": since})
    return {
        "levels": levels_of(newest),
        "endpoints": endpoints,
        "margin": newest["non_inferiority_margin"] or None,
        "missing": analysis["missing"],
        "level": analysis["level"],
        "resamples": analysis["resamples"],
        "seed": analysis["seed"],
        "primary_session": newest["primary_session"],
        "washout_days": newest["washout_days"],
        "since": {name: _since(documents, path) for name, path in _RULES.items()},
    }


def _since(documents: Sequence[Document], path: str) -> int:
    """The version since which the value has stood without a change."""

    def value(document: Any) -> Any:
        for key in path.split("."):
            document = (document or {}).get(key)
        return document

    values = [value(document) for document in documents]
    changes = [n for n in range(1, len(values)) if values[n] != values[n - 1]]
    return max(changes, default=0) + 1
