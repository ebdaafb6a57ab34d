"""Reads a decision's trace: in plain words, and as an order of images (those that decided first).

Works on the stored JSON as well as on a fresh ``Decision.trace``; both are the same data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inference.pipeline.classes import MODEL_1, MODEL_2, MODEL_3

StepData = Mapping[str, Any]

_WORDS = {"ACUTE": "acute", "CHRONIC": "chronic", "NO_LEUKEMIA": "no leukemia", "LEUKEMIA": "leukemia"}


def _word(name: str) -> str:
    return _WORDS.get(name, name)


def _model(slot: str) -> str:
    return slot.replace("_", " ")


def _fields(n: int) -> str:
    return "1 field" if n == 1 else f"{n} fields"


def trace_sentences(trace: Sequence[StepData]) -> list[str]:
    """One clause a step: ``17 of 42 fields show leukemia``, ``model 2 calls 0 of 42 chronic, so acute``."""
    return [_sentence(step) for step in trace]


def trace_text(trace: Sequence[StepData]) -> str:
    """The clauses of ``trace_sentences`` as one sentence without its full stop."""
    return "; ".join(trace_sentences(trace))


def _sentence(step: StepData) -> str:
    text = _vote_words(step) if step["value"] is None else _threshold_words(step)
    if step["voters_fallback"]:
        text += " (no field is called leukemia, so all fields vote)"
    return text


def _threshold_words(step: StepData) -> str:
    rule, target, n = step["rule"], step["rule"]["target"], step["n_voters"]
    count, measure = step["counts"][target], rule["measure"]
    if step["step"] == "gate":
        text = f"{count} of {_fields(n)} {'shows' if count == 1 else 'show'} leukemia"
        so = ", so no leukemia" if step["outcome"] == "NO_LEUKEMIA" else ""
    else:
        among = " leukemia fields" if rule["voters"] == "leukemia" and not step["voters_fallback"] else ""
        text = f"{_model(step['model'])} calls {count} of {n}{among} {_word(target)}"
        so = f", so {_word(step['outcome'])}"
    if measure == "count" and rule["at_least"] > 1:
        text += f" (the rule asks for {rule['at_least']})"
    elif measure == "fraction":
        text += f", {step['value']:.1%} (the rule asks for {rule['at_least']:.1%})"
    elif measure == "probability":
        asked = f"(the rule asks for {rule['at_least']:g})"
        text += f", summed probability of {_word(target)} {step['value']:.3f} {asked}"
        if step["tie"]:
            text += ", a tie with the threshold"
    return text + so


def _vote_words(step: StepData) -> str:
    rule, sums, outcome = step["rule"], step["sums"], _word(step["outcome"])
    names = rule["candidates"]
    votes = "votes " + " : ".join(f"{_word(name)} {step['counts'][name]}" for name in names)
    summed = "summed probability " + " : ".join(f"{_word(name)} {sums[name]:.3f}" for name in names)
    if rule["voters"] == "leukemia" and not step["voters_fallback"]:
        votes += f" among {_fields(step['n_voters'])} called leukemia"
    if rule["measure"] == "probability":
        text = summed
        if step["tie"] == "class_order":
            text += ", a tie; first in class order"
    else:
        text = votes
        nobody = not any(step["counts"][name] for name in names)
        if step["tie"]:
            text += (", no vote" if nobody else ", a tie") + f"; {summed}"
        if step["tie"] == "class_order":
            text += ", also a tie; first in class order"
    return f"{text}, so {outcome}"


def deciding_images(trace: Sequence[StepData]) -> list[int]:
    """Positions of images that carried a step's outcome, ascending; none where the gate stayed shut."""
    return sorted({i for step in trace for i in step["images"]})


def rank_images(
    trace: Sequence[StepData],
    *,
    model_1: ArrayLike | None = None,
    model_2: ArrayLike | None = None,
    model_3: ArrayLike | None = None,
    single_model: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
) -> list[int]:
    """All image positions, those that decided most first.

    First by the number of steps whose outcome the image carried (the last step, the finest, weighs most among
    equals), then by the sum of its probabilities of those outcomes. After a gate that stayed shut no image
    decided, so the nearest to opening it come first: highest probability of LEUKEMIA. Equal images keep their
    order.
    """
    tables: dict[str, tuple[ArrayLike | None, Sequence[str]]] = {
        "model_1": (model_1, MODEL_1),
        "model_2": (model_2, MODEL_2),
        "model_3": (model_3, MODEL_3),
        "single_model": (single_model, classes or ()),
    }
    n = trace[0]["n_images"]
    steps_carried, finest, support = np.zeros(n), np.full(n, -1), np.zeros(n)
    for k, step in enumerate(trace):
        values, names = tables[step["model"]]
        shut = step["step"] == "gate" and step["outcome"] == "NO_LEUKEMIA"
        outcome = "LEUKEMIA" if shut else step["outcome"]
        steps_carried[step["images"]] += 1
        finest[step["images"]] = k
        if values is not None:
            support += np.asarray(values, dtype=np.float64)[:, list(names).index(outcome)]
    order = np.lexsort((-support, -finest, -steps_carried))  # last key first; stable for equal images
    return [int(i) for i in order]
