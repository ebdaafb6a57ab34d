"""What happened case by case: who was right where, which answers changed, and where readers and AI part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from reader_study.analysis.inputs import Inputs, Level


def verdict(said: str | None, reference: str) -> str:
    """``right``, ``wrong`` or ``none`` (no answer, or undecided)."""
    return "none" if said is None else "right" if said == reference else "wrong"


def case_rows(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Each case with its reference and everybody's class."""
    reference = inputs.reference(level)
    labels = {e.name: inputs.labels(e, level) for e in inputs.evaluators}
    return [
        {
            "case": case.code,
            "reference": reference[index],
            "n_images": case.n_images,
            "labels": {name: column[index] for name, column in labels.items()},
        }
        for index, case in enumerate(inputs.cases)
    ]


def discordance(inputs: Inputs, level: Level) -> dict[str, Any] | None:
    """Number of readers who were right (primary sessions) against the AI right, wrong or without an answer.

    None without AI or readers. ``agree`` counts the readers who said what the AI said.
    """
    if inputs.ai is None or not inputs.primaries:
        return None
    names = [e.name for e in inputs.primaries]
    counts: Counter[tuple[int, str]] = Counter()
    cases = []
    for row in case_rows(inputs, level):
        said = row["labels"]
        ai = said[inputs.ai.name]
        right = sum(said[name] == row["reference"] for name in names)
        of_ai = verdict(ai, row["reference"])
        counts[right, of_ai] += 1
        if of_ai != "right" or right < len(names):
            cases.append(
                {
                    "case": row["case"], "reference": row["reference"], "ai": ai, "ai_is": of_ai,
                    "readers_right": right, "agree": sum(ai is not None and said[name] == ai for name in names),
                    "readers": {name: said[name] for name in names},
                }
            )  # fmt: skip
    patterns = [
        {"readers_right": right, **{of_ai: counts[right, of_ai] for of_ai in ("right", "wrong", "none")}}
        for right in range(len(names), -1, -1)
    ]
    order = {"wrong": 0, "none": 1, "right": 2}
    cases.sort(key=lambda row: (order[row["ai_is"]], -row["readers_right"], row["case"]))
    return {"n_readers": len(names), "readers": names, "patterns": patterns, "cases": cases}


def pattern_cases(level: Mapping[str, Any], readers_right: int, ai_is: str) -> list[str]:
    """Codes of the cases that one cell of the table of patterns counts.

    Parameters
    ----------
    level
        One level of a result, with ``cases`` and ``discordance``.
    ai_is
        ``right``, ``wrong`` or ``none``.

    Raises
    ------
    ValueError
        This level has no such table: no AI, or no readers.
    """
    found = level["discordance"]
    if not found:
        raise ValueError("no discordance at this level")
    # Cases that everybody got right are not listed there; the rest are exactly the listed ones.
    listed = {row["case"]: (row["readers_right"], row["ai_is"]) for row in found["cases"]}
    whole = (found["n_readers"], "right")
    return [row["case"] for row in level["cases"] if listed.get(row["case"], whole) == (readers_right, ai_is)]


def changed_cases(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Cases that a reader called differently in another blinded session than in the primary one.

    Each pair of sessions stands in the order of their numbers, and only cases with an answer in both count. Up to the
    third edition the primary session came first, and a case without a reading was undecided.
    """
    out = []
    rows = case_rows(inputs, level)
    for other in inputs.sessions:
        main = next((e for e in inputs.primaries if e.reader == other.reader), None)
        if other.primary or main is None:
            continue
        first, second = (main, other)
        if inputs.edition > 3:
            first, second = sorted((main, other), key=lambda e: e.session)
        for row in rows:
            before, after = row["labels"][first.name], row["labels"][second.name]
            both = row["case"] in first.answers and row["case"] in second.answers
            if before == after or (inputs.edition > 3 and not both):
                continue
            states = verdict(before, row["reference"]), verdict(after, row["reference"])
            out.append(
                {
                    "reader": second.reader, "first": first.name, "second": second.name, "case": row["case"],
                    "reference": row["reference"], "before": before, "after": after,
                    "change": f"{states[0]} to {states[1]}".replace("none", "undecided"),
                }
            )  # fmt: skip
    return out


def without(inputs: Inputs, level: Level) -> list[dict[str, Any]]:
    """Each session in which cases were recognised: answers that count when those are left out.

    Returns rows with the counts only; ``sessions.recognised`` puts intervals to them.
    """
    out = []
    reference = dict(zip((c.code for c in inputs.cases), inputs.reference(level), strict=True))
    for evaluator in (*inputs.sessions, *inputs.assisted, *inputs.outside):
        known = {code for code, answer in evaluator.answers.items() if answer.recognised}
        if not known:
            continue
        right = {code: evaluator.label(level, code) == reference[code] for code in evaluator.answers
                 if evaluator.label(level, code) is not None}  # fmt: skip
        rest = [hit for code, hit in right.items() if code not in known]
        out.append(
            {
                "evaluator": evaluator.name, "n_recognised": len(known), "all": [sum(right.values()), len(right)],
                "rest": [sum(rest), len(rest)], "cases": sorted(known),
            }
        )  # fmt: skip
    return out
