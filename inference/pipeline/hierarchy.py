"""From per-image probabilities to one diagnosis of the slide, with the reasons (paper, Figs. 1, 2 and 7).

Pure and light: numpy only. Per-image probabilities are kept, so other rules never need a model to run again.

Examples
--------
>>> decision = decide(RULE_SETS["paper-fig1"], model_1=[[0.9, 0.1]], model_2=[[0.7, 0.1, 0.1, 0.1]])
>>> decision.diagnosis
'ACUTE'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.pipeline.classes import (
    COLLAPSE_5_TO_3,
    DIAGNOSES_3,
    DIAGNOSES_5,
    MODEL_1,
    MODEL_2,
    MODEL_3,
    SLOT_CLASSES,
    SUBTYPES,
)
from inference.pipeline.errors import NoImages, ProbabilitiesInvalid, SlotNotRun
from inference.pipeline.rules import (
    DEFAULT_RULE_SET,
    RULE_SETS,
    RuleSet,
    SubtypeVote,
    Threshold,
    rule_set_named,
)
from inference.pipeline.trace import deciding_images, rank_images, trace_sentences, trace_text

__all__ = [
    "BELOW_MINIMUM",
    "DEFAULT_RULE_SET",
    "RULE_SETS",
    "TIE",
    "Decision",
    "RuleSet",
    "Step",
    "SubtypeVote",
    "Threshold",
    "decide",
    "deciding_images",
    "rank_images",
    "rule_set_named",
    "slots_needed",
    "trace_sentences",
    "trace_text",
]

BELOW_MINIMUM: Final = "below the study's minimum"
TIE: Final = "tie"
TIE_TOLERANCE: Final = 1e-12
ROW_SUM_TOLERANCE: Final = 0.01  # probabilities that travelled through rounded JSON still pass; logits do not

Probabilities = NDArray[np.float64]  # (n_images, n_classes)


class Step(TypedDict):
    """One step of the trace, JSON-ready. ``images``: positions, from 0, of the images that decided it."""

    step: str  # gate | branch | subtype | majority
    model: str  # the slot whose probabilities were read
    rule: dict[str, Any]  # measure, at_least, voters, and target where one class is tested
    n_images: int
    n_voters: int
    voters_fallback: bool  # no image was called leukemia, so all images voted
    counts: dict[str, int]  # argmax labels among the voters
    sums: dict[str, float]  # summed probabilities among the voters
    value: float | None  # what the threshold was compared with; None in a vote
    outcome: str
    tie: str | None  # None | "probability" (the sums decided) | "class_order" (nothing else was left)
    images: list[int]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say about one slide.

    ``diagnosis`` is the finest level that the rules give; a level that they do not give is None.
    ``flags`` are plain words to show beside the diagnosis (``BELOW_MINIMUM``, ``TIE``).
    """

    rule_set: RuleSet
    diagnosis: str
    diagnosis_3: str | None
    diagnosis_5: str | None
    trace: list[Step]
    flags: tuple[str, ...]


def decide(
    rule_set: RuleSet,
    *,
    model_1: ArrayLike | None = None,
    model_2: ArrayLike | None = None,
    model_3: ArrayLike | None = None,
    single_model: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
) -> Decision:
    """Apply ``rule_set`` to one slide's per-image probabilities; the order of images never matters.

    Parameters
    ----------
    model_1, model_2, model_3
        Probabilities of shape (n, 2), (n, 4), (n, 5) in the class orders of ``inference.pipeline.classes``.
        Models 2 and 3 may be None where the gate stops at NO_LEUKEMIA (cascade); the trace then has no step
        for them: not run is not negative.
    single_model, classes
        For majority rules: (n, K) and its class names, the three or the five diagnoses in any order.

    Two equal probabilities in one row: the class that comes first in class order (so LEUKEMIA at model 1).

    Raises
    ------
    NoImages
        There are 0 images.
    SlotNotRun
        The rules come to a model whose probabilities are None.
    ProbabilitiesInvalid
        Wrong shape, different numbers of images, or rows that are not probabilities.
    """
    if rule_set.kind == "majority":
        return _decide_majority(rule_set, single_model, classes)
    p1 = _checked("model_1", model_1, MODEL_1, None)
    n = len(p1)
    gate, branch_rule = rule_set.gate, rule_set.branch
    if gate is None or branch_rule is None:  # RuleSet refuses this; the check tells the type checker so
        raise SlotNotRun("A hierarchical rule set has a gate and a branch.")
    leukemia = _labels(p1) == MODEL_1.index("LEUKEMIA")
    everyone = np.ones(n, dtype=bool)

    trace = [_threshold_step("gate", "model_1", p1, MODEL_1, gate, ("LEUKEMIA", "NO_LEUKEMIA"), everyone)]
    if trace[0]["outcome"] == "NO_LEUKEMIA":
        return _decision(rule_set, "NO_LEUKEMIA", "NO_LEUKEMIA" if rule_set.subtype else None, trace, n)

    p2 = _checked("model_2", model_2, MODEL_2, n)
    trace.append(_threshold_step("branch", "model_2", p2, MODEL_2, branch_rule, ("CHRONIC", "ACUTE"), leukemia))
    diagnosis_3, diagnosis_5 = trace[1]["outcome"], None
    if rule_set.subtype:
        p3 = _checked("model_3", model_3, MODEL_3, n)
        candidates = SUBTYPES[diagnosis_3]
        trace.append(_vote_step("subtype", "model_3", p3, MODEL_3, candidates, rule_set.subtype, leukemia))
        diagnosis_5 = trace[2]["outcome"]
    return _decision(rule_set, diagnosis_3, diagnosis_5, trace, n)


def slots_needed(rule_set: RuleSet, model_1: ArrayLike | None = None) -> tuple[str, ...]:
    """Which slots to run next in cascade mode.

    Without ``model_1`` the first slot; with model 1's probabilities the rest if the gate opens, else nothing.
    """
    if rule_set.kind == "majority" or rule_set.gate is None:
        return ("single_model",)
    if model_1 is None:
        return ("model_1",)
    p1 = _checked("model_1", model_1, MODEL_1, None)
    everyone = np.ones(len(p1), dtype=bool)
    gate = _threshold_step("gate", "model_1", p1, MODEL_1, rule_set.gate, ("LEUKEMIA", "NO_LEUKEMIA"), everyone)
    return rule_set.slots[1:] if gate["outcome"] == "LEUKEMIA" else ()


def _decide_majority(rule_set: RuleSet, single_model: ArrayLike | None, names: Sequence[str] | None) -> Decision:
    order = next((c for c in SLOT_CLASSES["single_model"] if set(c) == set(names or ())), None)
    if order is None or names is None or len(names) != len(order):
        raise ProbabilitiesInvalid(
            f"The single model's classes are {list(names) if names is not None else None}.",
            hint=f"They are {', '.join(DIAGNOSES_3)} or {', '.join(DIAGNOSES_5)}.",
            field="classes",
        )
    given = _checked("single_model", single_model, tuple(names), None)
    # Columns in class order, so that a tie does not depend on how the file listed its classes.
    p = given[:, [list(names).index(name) for name in order]]
    everyone = np.ones(len(p), dtype=bool)
    step = _vote_step("majority", "single_model", p, order, order, SubtypeVote(), everyone)
    five = step["outcome"] if order == DIAGNOSES_5 else None
    three = COLLAPSE_5_TO_3[five] if five else step["outcome"]
    return _decision(rule_set, three, five, [step], len(p))


def _checked(slot: str, values: ArrayLike | None, names: tuple[str, ...], n_images: int | None) -> Probabilities:
    """The slot's probabilities as (n, K) float64, or the reason why they cannot be used."""
    if values is None:
        raise SlotNotRun(
            f"The rules need {slot}, which has not been run on these images.",
            hint=f"Run {slot}, or choose a rule set without it.",
            field=slot,
        )
    try:
        p = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProbabilitiesInvalid(f"{slot} is not a table of numbers: {error}.", field=slot) from error
    if p.size == 0 or p.shape[0] == 0:
        raise NoImages(
            f"{slot} has no images (shape {p.shape}); a diagnosis needs at least one.",
            hint="Add readable images to the slide.",
            field=slot,
        )
    if p.ndim != 2 or p.shape[1] != len(names):
        raise ProbabilitiesInvalid(
            f"{slot} has shape {p.shape}; expected (n_images, {len(names)}) for {', '.join(names)}.",
            field=slot,
        )
    if n_images is not None and len(p) != n_images:
        raise ProbabilitiesInvalid(f"{slot} has {len(p)} images, model_1 has {n_images}.", field=slot)
    row_sums = p.sum(axis=1)
    bad = ~np.isfinite(p).all(axis=1) | (p < 0).any(axis=1) | ~(np.abs(row_sums - 1) <= ROW_SUM_TOLERANCE)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ProbabilitiesInvalid(
            f"{slot} image {i} is {p[i].tolist()} (sum {row_sums[i]:.6g}), not probabilities.",
            hint="Pass probabilities that sum to 1, not logits.",
            field=slot,
        )
    return p


def _labels(p: Probabilities) -> NDArray[np.intp]:
    return p.argmax(axis=1)  # the first maximum, so ties inside a row follow class order


def _electorate(rule: Threshold | SubtypeVote, leukemia: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bool]:
    """Mask of the voters, and whether it fell back to all images because none was called leukemia."""
    if rule.voters == "all":
        return np.ones_like(leukemia), False
    if not leukemia.any():
        return np.ones_like(leukemia), True
    return leukemia, False


def _tally(
    p: Probabilities, names: tuple[str, ...], voters: NDArray[np.bool_]
) -> tuple[dict[str, int], dict[str, float]]:
    counts = np.bincount(_labels(p)[voters], minlength=len(names))
    sums = {name: math.fsum(p[voters, k].tolist()) for k, name in enumerate(names)}
    return {name: int(c) for name, c in zip(names, counts, strict=True)}, sums


def _threshold_step(
    step: str,
    slot: str,
    p: Probabilities,
    names: tuple[str, ...],
    rule: Threshold,
    outcomes: tuple[str, str],
    leukemia: NDArray[np.bool_],
) -> Step:
    """Test class ``outcomes[0]`` against the rule's threshold; below it the outcome is ``outcomes[1]``."""
    target = outcomes[0]
    voters, fallback = _electorate(rule, leukemia)
    counts, sums = _tally(p, names, voters)
    n_voters = int(voters.sum())
    value: float = {
        "count": counts[target],
        "fraction": counts[target] / n_voters,
        "probability": sums[target],
    }[rule.measure]
    outcome = outcomes[0] if value >= rule.at_least - TIE_TOLERANCE else outcomes[1]
    exact = rule.measure == "probability" and abs(value - rule.at_least) <= TIE_TOLERANCE
    labelled = (_labels(p) == names.index(outcome)) & voters
    if outcome == target and rule.measure == "probability" and not labelled.any():
        labelled = (p[:, names.index(target)] > 0) & voters  # no image alone says so: the sum did
    return {
        "step": step,
        "model": slot,
        "rule": rule.as_dict() | {"target": target},
        "n_images": len(p),
        "n_voters": n_voters,
        "voters_fallback": fallback,
        "counts": counts,
        "sums": sums,
        "value": value,
        "outcome": outcome,
        "tie": "probability" if exact else None,
        "images": np.flatnonzero(labelled).tolist() if outcome != "NO_LEUKEMIA" else [],
    }


def _vote_step(
    step: str,
    slot: str,
    p: Probabilities,
    names: tuple[str, ...],
    candidates: tuple[str, ...],
    rule: SubtypeVote,
    leukemia: NDArray[np.bool_],
) -> Step:
    """Most votes among ``candidates``; then the larger summed probability; then class order."""
    voters, fallback = _electorate(rule, leukemia)
    counts, sums = _tally(p, names, voters)
    tie: str | None = None
    ahead = list(candidates)
    if rule.measure == "count":
        best = max(counts[name] for name in candidates)
        ahead = [name for name in candidates if counts[name] == best]
        tie = "probability" if len(ahead) > 1 else None
    if len(ahead) > 1:
        largest = max(sums[name] for name in ahead)
        ahead = [name for name in ahead if sums[name] >= largest - TIE_TOLERANCE]
        tie = "class_order" if len(ahead) > 1 else tie
    outcome = ahead[0]
    return {
        "step": step,
        "model": slot,
        "rule": rule.as_dict() | {"candidates": list(candidates)},
        "n_images": len(p),
        "n_voters": int(voters.sum()),
        "voters_fallback": fallback,
        "counts": counts,
        "sums": sums,
        "value": None,
        "outcome": outcome,
        "tie": tie,
        "images": np.flatnonzero((_labels(p) == names.index(outcome)) & voters).tolist(),
    }


def _decision(rule_set: RuleSet, three: str, five: str | None, trace: list[Step], n_images: int) -> Decision:
    flags = []
    if n_images < rule_set.minimum_images:
        flags.append(BELOW_MINIMUM)
    if any(step["tie"] for step in trace):
        flags.append(TIE)
    return Decision(rule_set, five or three, three, five, trace, tuple(flags))
