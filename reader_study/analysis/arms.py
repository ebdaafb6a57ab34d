"""With the AI result and without it: each reader, and the mean over the readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from leukoweb.statistics.confusion import Ints, confusion_matrix
from leukoweb.statistics.mrmc import analyse_proportion, analysis_as_dict, obuchowski_rockette
from leukoweb.statistics.results import to_json_value
from reader_study.analysis.comparisons import METRICS, pair_report
from reader_study.analysis.inputs import Evaluator, Inputs, Level
from reader_study.analysis.levels import linearised, ruled_codes

ARMS = ("with AI", "without AI")


def arms_report(inputs: Inputs, level: Level) -> dict[str, Any] | None:
    """With the AI result minus without it, per reader and over readers; None where nobody read both ways.

    A reader with several sessions with the AI is one reader all the same: the first of them enters the mean and the
    sums (``in_mean``), as in the iMRMC export; the others have rows of their own. Counted twice, a reader would make
    the readers look more alike than they are. The first edition did so.
    """
    pairs = []
    for aided in inputs.assisted:
        alone = next((e for e in inputs.primaries if e.reader == aided.reader), None)
        if alone is not None:
            pairs.append((aided, alone))
    if not pairs:
        return None
    each = [pair_report(inputs, level, aided, alone) for aided, alone in pairs]
    changed = [_changes(inputs, level, aided, alone) for aided, alone in pairs]
    if inputs.edition > 1:
        firsts: dict[str, tuple[Evaluator, Evaluator]] = {}
        for pair in pairs:
            first = firsts.setdefault(pair[0].reader, pair)
            firsts[pair[0].reader] = min(first, pair, key=lambda p: p[0].session)
        for row, pair in zip(changed, pairs, strict=True):
            row["in_mean"] = pair is firsts[pair[0].reader]
        pairs = list(firsts.values())
    return {"pairs": each, "changed": changed} | _over_readers(inputs, level, pairs)


def _over_readers(inputs: Inputs, level: Level, pairs: list[tuple[Evaluator, Evaluator]]) -> dict[str, Any]:
    """``overall`` for accuracy and, from the second edition on, ``macros`` by metric; nothing for one reader.
    ``complete``, since the fourth edition: how many answers changed on the cases that these rest on.

    Estimand: with minus without the AI result in the mean over readers of whom these are a sample, on cases of whom
    these are a sample. Obuchowski and Rockette 1995 (doi:10.1080/03610919508813243) with the degrees of freedom of
    Hillis 2007 (doi:10.1002/sim.2532); the covariance over cases is that of proportions for accuracy and that of the
    linearised values for macro metrics (``levels.linearised``). Cases that everybody answered both ways.
    """
    readers = [aided.reader for aided, _ in pairs]
    answers, reference, _ = ruled_codes(inputs, level, tuple(e for pair in pairs for e in pair))
    complete = np.all(answers >= 0, axis=1)
    answers, reference = answers[complete], reference[complete]
    several = len(pairs) > 1 and complete.sum() > 1
    out: dict[str, Any] = {"overall": None}
    if several:
        correct = (answers == reference[:, None]).astype(float)
        arms = np.stack([correct[:, 0::2].T, correct[:, 1::2].T])  # (2, readers, n)
        analysis = analyse_proportion(
            arms, modalities=ARMS, readers=readers, level=inputs.plan["level"], endpoint="accuracy"
        )
        out["overall"] = to_json_value(analysis_as_dict(analysis))
    if inputs.edition > 1:
        macros = [name for name in METRICS if name != "accuracy"] if several else []
        by_arm = np.concatenate([answers[:, 0::2], answers[:, 1::2]], axis=1)
        found = {name: _macro(inputs, level, by_arm, reference, name, readers) for name in macros}
        out["macros"] = {name: item for name, item in found.items() if item}
    if inputs.edition > 3:
        right = answers == reference[:, None]
        aided, alone = right[:, 0::2], right[:, 1::2]
        out["complete"] = {"n": len(reference), "to_right": int((aided & ~alone).sum()),
                           "to_wrong": int((alone & ~aided).sum())}  # fmt: skip
    return out


def _macro(
    inputs: Inputs, level: Level, answers: Ints, reference: Ints, name: str, readers: list[str]
) -> dict[str, Any] | None:
    """One macro metric; None where somebody has no class to average over."""
    values, covariance, differ = linearised(answers, reference, len(level.classes), name)
    if not np.isfinite(values).all():
        return None
    analysis = obuchowski_rockette(
        values.reshape(2, len(readers)), covariance, modalities=ARMS, readers=readers, n=len(reference),
        level=inputs.plan["level"], endpoint=f"macro_{name}", method="linearised",
    )  # fmt: skip
    found = analysis_as_dict(analysis)
    plain: dict[str, Any] = to_json_value(found | {"note": f"{found['note']} {differ}".strip()})
    return plain


def over_readers(arms: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(metric, comparison over all readers), in the order of the paper's tables."""
    macros = arms.get("macros", {})
    for name in METRICS:
        found = arms["overall"] if name == "accuracy" else macros.get(name)
        if found:
            yield name, found


def _changes(inputs: Inputs, level: Level, aided: Evaluator, alone: Evaluator) -> dict[str, Any]:
    """How often the AI result turned a wrong answer right, and a right one wrong; undecided by the protocol's rule."""
    answers, reference, _ = ruled_codes(inputs, level, (alone, aided))
    both = np.all(answers >= 0, axis=1)
    right = answers[both] == reference[both][:, None]
    table = confusion_matrix(right[:, 0].astype(int), right[:, 1].astype(int), 2)
    return {
        "reader": aided.reader, "n": int(both.sum()), "to_right": int(table[0, 1]), "to_wrong": int(table[1, 0]),
        "changed": int((answers[both][:, 0] != answers[both][:, 1]).sum()),
    }  # fmt: skip
