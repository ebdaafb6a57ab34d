"""Look for one table that reproduces printed metrics where there are too many to search.

Simulated annealing on signatures, many chains side by side. Finding one proves that the row can be reproduced;
finding none proves nothing, and the checker then says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leukoweb.statistics.consistency_matrices import first_matrices
from leukoweb.statistics.consistency_metrics import Conventions, Printed, Signature, fits, metric_value
from leukoweb.statistics.consistency_search import FloatArray, IntArray, Space

_CHAINS = 128
_STEPS = 4000
# Printed steps that a chain may get worse by, at the start and at the end.
_HOT, _COLD = 3.0, 0.02


def probe(
    sizes: Sequence[int],
    printed: Mapping[str, Printed],
    known: Mapping[tuple[int, int], int],
    rules: Conventions,
    seed: int = 1,
) -> Signature | None:
    """A signature with a matrix that reproduces all metrics, or None when none was met. The seed makes it
    repeatable.
    """
    space = Space(tuple(sizes), tuple(printed.values()), dict(known), rules)
    n, k = np.array(sizes), len(sizes)
    options = [space.correct_options(i) for i in range(k)]
    if not all(len(choices) for choices in options):
        return None
    fewest, most = np.array([c[0] for c in options]), np.array([c[-1] for c in options])
    low, high = np.array([space.false_positive_range(j) for j in range(k)]).T
    rng = np.random.default_rng(seed)
    correct, wrong = _start(rng, n, fewest, most)
    cost = _cost(space, correct, wrong, low, high)
    tried: set[Signature] = set()
    rows = np.arange(_CHAINS)
    for step in range(_STEPS):
        for at in np.flatnonzero(cost < 1e-6):
            signature = Signature(tuple(correct[at].tolist()), tuple(wrong[at].tolist()))
            if signature not in tried and _proves(signature, sizes, printed, known, rules):
                return signature
            tried.add(signature)
        warmth = _HOT * (_COLD / _HOT) ** (step / _STEPS)
        new_correct, new_wrong = correct.copy(), wrong.copy()
        amount = rng.integers(1, np.maximum(2, (n.max() * 0.05 * warmth).astype(int) + 1), size=_CHAINS)
        source, target = rng.integers(0, k, _CHAINS), rng.integers(0, k, _CHAINS)
        # An error changes its column, or a patient of the source class becomes right, or wrong.
        kind = rng.integers(0, 3, _CHAINS)
        change = np.select([kind == 1, kind == 2], [amount, -amount], 0)
        new_correct[rows, source] += change
        new_wrong[rows, source] -= np.where(kind == 0, amount, 0)
        new_wrong[rows, target] += np.where(kind == 0, amount, -change)
        allowed = ((new_correct >= fewest) & (new_correct <= most) & (new_wrong >= 0)).all(axis=1)
        new_cost = np.where(
            allowed, _cost(space, np.clip(new_correct, 0, n), np.maximum(new_wrong, 0), low, high), np.inf
        )
        accept = rng.random(_CHAINS) < np.exp(np.minimum(0.0, (cost - new_cost) / warmth))
        correct[accept], wrong[accept], cost[accept] = new_correct[accept], new_wrong[accept], new_cost[accept]
    return None


def _start(rng: np.random.Generator, n: IntArray, fewest: IntArray, most: IntArray) -> tuple[IntArray, IntArray]:
    share = rng.uniform(0.3, 1.0, (_CHAINS, len(n)))
    correct = np.clip(np.round(share * n).astype(np.int64), fewest, most)
    errors = n.sum() - correct.sum(axis=1)
    wrong = np.stack([rng.multinomial(total, np.full(len(n), 1 / len(n))) for total in errors]).astype(np.int64)
    return correct, wrong


def _cost(space: Space, correct: IntArray, wrong: IntArray, low: IntArray, high: IntArray) -> FloatArray:
    """Distance of every chain from the printed values, in printed steps, and from false positives that cannot be."""
    missed = np.array(space.sizes) - correct
    errors = missed.sum(axis=1, keepdims=True)
    outside = np.maximum(wrong - np.minimum(high, errors - missed), 0) + np.maximum(low - wrong, 0)
    cost: FloatArray = outside.sum(axis=1).astype(np.float64)
    for item in space.printed:
        bottom, top = (float(limit) for limit in item.limits(space.rules.rounding))
        value = space.values(item, correct, wrong)
        # An undefined value fits nothing, but a finite cost lets the chain walk away from it.
        distance = np.maximum(np.maximum(bottom - value, value - top), 0.0)
        cost += np.where(np.isnan(distance), 1.0, distance) / float(item.step)
    return cost


def _proves(
    signature: Signature,
    sizes: Sequence[int],
    printed: Mapping[str, Printed],
    known: Mapping[tuple[int, int], int],
    rules: Conventions,
) -> bool:
    return all(
        fits(metric_value(item, sizes, signature, rules), item, rules.rounding) for item in printed.values()
    ) and bool(first_matrices(sizes, signature, known, 1).matrices)
