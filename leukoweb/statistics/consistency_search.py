"""Search for all signatures (diagonal and false positives per class) that reproduce printed metrics.

Depth first in vectorised pieces: one class after the other gets its number of correct patients, then its
false positives. Every average becomes two sums that must end up >= 0 and <= 0, sum of w (value - low) and sum
of w (value - high), so a branch is cut as soon as the classes still open cannot mend a sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from leukoweb.statistics.consistency_metrics import (
    Conventions,
    Printed,
    Signature,
    fits,
    metric_value,
)

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Slack of the floating point sieve; survivors are confirmed in exact fractions.
_SLACK = 1e-9
# States that are expanded together.
_PIECE = 100_000


@dataclass(slots=True)
class Found:
    """Signatures that reproduce all metrics; ``complete`` when nothing was left unsearched."""

    budget: int
    signatures: list[Signature] = field(default_factory=list)
    complete: bool = True
    looked_at: int = 0

    def spend(self, states: int) -> bool:
        """Count states that are looked at; False when the budget is used up."""
        self.looked_at += states
        self.complete &= self.looked_at <= self.budget
        return self.complete


def search(
    sizes: Sequence[int],
    printed: Mapping[str, Printed],
    known: Mapping[tuple[int, int], int],
    rules: Conventions,
    budget: int,
    most: int,
) -> Found:
    """All signatures, or those found before ``budget`` states were looked at or ``most`` signatures found."""
    found = Found(budget)
    space = Space(tuple(sizes), tuple(printed.values()), dict(known), rules)

    def confirmed(correct: list[int], wrong: list[int]) -> Iterator[Signature]:
        signature = Signature(tuple(correct), tuple(wrong))
        if all(fits(metric_value(item, sizes, signature, rules), item, rules.rounding) for item in space.printed):
            yield signature

    pieces = (piece for diagonals in space.diagonals(found) for piece in space.false_positives(diagonals, found))
    for diagonals, false_positives in pieces:
        for correct, wrong in zip(diagonals.tolist(), false_positives.tolist(), strict=True):
            found.signatures += confirmed(correct, wrong)
        if len(found.signatures) >= most:
            found.complete = False
            break
    return found


@dataclass(slots=True)
class Space:
    sizes: tuple[int, ...]
    printed: tuple[Printed, ...]
    known: dict[tuple[int, int], int]
    rules: Conventions

    def diagonals(self, found: Found) -> Iterator[IntArray]:
        """Pieces (n, K) of diagonals that the accuracy, the sensitivities and the known cells allow."""
        k, total = len(self.sizes), sum(self.sizes)
        options = [self.correct_options(i) for i in range(k)]
        if not all(len(choices) for choices in options):
            return
        sums = [item for item in self.printed if self._on_diagonal(item)]
        gains = [[self._diagonal_gain(item, i, options[i]) for item in sums] for i in range(k)]
        low, high = zip(*(self.false_positive_range(j) for j in range(k)), strict=True)
        # Best that the classes from i on can still add to each sum.
        best = [[sum(float(gains[j][m][0].max()) for j in range(i, k)) for m in range(len(sums))] for i in range(k + 1)]
        worst = [
            [sum(float(gains[j][m][1].min()) for j in range(i, k)) for m in range(len(sums))] for i in range(k + 1)
        ]
        start = (0, np.zeros((1, 0), dtype=np.int64), np.zeros((len(sums), 1)), np.zeros((len(sums), 1)))
        stack = [start]
        while stack:
            i, prefix, a, b = stack.pop()
            if i == k:
                errors = total - prefix.sum(axis=1)
                yield prefix[(errors >= sum(low)) & (errors <= sum(high))]
                continue
            if len(prefix) * len(options[i]) > _PIECE and len(prefix) > 1:
                half = len(prefix) // 2
                stack += [(i, prefix[s], a[:, s], b[:, s]) for s in (slice(half, None), slice(half))]
                continue
            parent = np.repeat(np.arange(len(prefix)), len(options[i]))
            choice = np.tile(np.arange(len(options[i])), len(prefix))
            if not found.spend(len(parent)):
                return
            keep = np.ones(len(parent), dtype=bool)
            a, b = a[:, parent], b[:, parent]
            for m in range(len(sums)):
                a[m] += gains[i][m][0][choice]
                b[m] += gains[i][m][1][choice]
                keep &= (a[m] + best[i + 1][m] >= -_SLACK) & (b[m] + worst[i + 1][m] <= _SLACK)
            grown = np.column_stack([prefix[parent[keep]], options[i][choice[keep]]])
            stack.append((i + 1, grown, a[:, keep], b[:, keep]))

    def false_positives(self, diagonals: IntArray, found: Found) -> Iterator[tuple[IntArray, IntArray]]:
        """Pieces of (diagonal, false positives), both (n, K), that the sieve lets pass."""
        k = len(self.sizes)
        ranges = [self.false_positive_range(j) for j in range(k)]
        # The class with most freedom comes last: its number is then given by the others'.
        order = sorted(range(k), key=lambda j: ranges[j][1] - ranges[j][0])
        sums = [item for item in self.printed if item.of < 0 and not self._on_diagonal(item)]
        bounds = [self._bounds(item, diagonals) for item in sums]
        errors = sum(self.sizes) - diagonals.sum(axis=1)
        n = len(diagonals)
        every = np.arange(n)
        stack = [(0, every, np.zeros((n, k), dtype=np.int64), np.zeros((len(sums), n)), np.zeros((len(sums), n)))]
        while stack:
            step, row, wrong, a, b = stack.pop()
            if step == k:
                if len(row):
                    yield diagonals[row], wrong
                continue
            j, rest = order[step], order[step + 1 :]
            left = errors[row] - wrong.sum(axis=1)
            first, last = self._choices(j, rest, ranges, diagonals[row], errors[row], left)
            counts = np.maximum(last - first + 1, 0)
            if counts.sum() > _PIECE and len(row) > 1:
                half = len(row) // 2
                stack += [(step, row[s], wrong[s], a[:, s], b[:, s]) for s in (slice(half, None), slice(half))]
                continue
            parent = np.repeat(np.arange(len(row)), counts)
            number = first[parent] + np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
            if not found.spend(len(parent)):
                return
            keep = self._class_fits(j, diagonals[row[parent], j], number)
            parent, number = parent[keep], number[keep]
            a, b, keep = self._extend_sums(
                sums,
                bounds,
                j,
                rest,
                ranges,
                diagonals,
                row[parent],
                number,
                left[parent] - number,
                a[:, parent],
                b[:, parent],
            )
            wrong = wrong[parent[keep]]
            wrong[:, j] = number[keep]
            stack.append((step + 1, row[parent[keep]], wrong, a[:, keep], b[:, keep]))

    def _extend_sums(
        self,
        sums: Sequence[Printed],
        bounds: Sequence[tuple[FloatArray, FloatArray]],
        j: int,
        rest: Sequence[int],
        ranges: Sequence[tuple[int, int]],
        diagonals: IntArray,
        row: IntArray,
        number: IntArray,
        left: IntArray,
        a: FloatArray,
        b: FloatArray,
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Both sums with class j added, and which states the classes of ``rest`` can still mend."""
        chosen = diagonals[row]
        keep = np.ones(len(row), dtype=bool)
        for m, (item, (low, high)) in enumerate(zip(sums, bounds, strict=True)):
            limits = (low[row], high[row])
            gain = self._gain(item, j, chosen[:, j], number, *limits)
            a[m] += gain[0]
            b[m] += gain[1]
            best, worst = a[m].copy(), b[m].copy()
            for other in rest:
                # Every metric moves one way with the false positives, so its extremes are at the ends.
                fewest, most = np.full(len(row), ranges[other][0]), np.minimum(ranges[other][1], left)
                first = self._gain(item, other, chosen[:, other], fewest, *limits)
                last = self._gain(item, other, chosen[:, other], most, *limits)
                best += np.maximum(first[0], last[0])
                worst += np.minimum(first[1], last[1])
            keep &= (best >= -_SLACK) & (worst <= _SLACK)
        return a, b, keep

    def _choices(
        self,
        j: int,
        rest: Sequence[int],
        ranges: Sequence[tuple[int, int]],
        diagonals: IntArray,
        errors: IntArray,
        left: IntArray,
    ) -> tuple[IntArray, IntArray]:
        """Smallest and largest number of false positives of class j, given what is left to place."""
        later_low = sum(ranges[other][0] for other in rest)
        later_high = sum(ranges[other][1] for other in rest)
        # The patients of j that are missed are false positives of the other classes.
        most = np.minimum(errors - (self.sizes[j] - diagonals[:, j]), ranges[j][1])
        return np.maximum(left - later_high, ranges[j][0]), np.minimum(most, left - later_low)

    def correct_options(self, i: int) -> IntArray:
        """Numbers of correct patients of class i that its size, the known cells and its sensitivity allow."""
        size = self.sizes[i]
        elsewhere = [count for (row, column), count in self.known.items() if row == i and column != i]
        options = np.arange(size + 1)
        if (i, i) in self.known:
            options = options[options == self.known[i, i]]
        missed = size - options
        keep = missed >= sum(elsewhere)
        if len(elsewhere) == len(self.sizes) - 1:
            keep &= missed == sum(elsewhere)
        for item in self.printed:
            if item.of == i and item.metric == "sensitivity":
                low, high = (float(limit) for limit in item.limits(self.rules.rounding))
                keep &= (options / size >= low - _SLACK) & (options / size <= high + _SLACK)
        return options[keep]

    def false_positive_range(self, j: int) -> tuple[int, int]:
        """Fewest and most false positives of class j."""
        others = [i for i in range(len(self.sizes)) if i != j]
        low = sum(self.known.get((i, j), 0) for i in others)
        return low, sum(self.known.get((i, j), self.sizes[i]) for i in others)

    @staticmethod
    def _on_diagonal(item: Printed) -> bool:
        return item.of < 0 and (item.metric == "accuracy" or item.metric == "sensitivity")

    def _weight(self, item: Printed, i: int) -> int:
        return self.sizes[i] if item.average == "weighted" or item.metric == "accuracy" else 1

    def _diagonal_gain(self, item: Printed, i: int, options: IntArray) -> tuple[FloatArray, FloatArray]:
        low, high = (float(limit) for limit in item.limits(self.rules.rounding))
        value, weight = options / self.sizes[i], self._weight(item, i)
        return weight * (value - low), weight * (value - high)

    def _bounds(self, item: Printed, diagonals: IntArray) -> tuple[FloatArray, FloatArray]:
        """Limits of an average for each diagonal; those of a harmonic F1 become limits of the macro PPV."""
        n = len(diagonals)
        low, high = (float(limit) for limit in item.limits(self.rules.rounding))
        if not self._harmonic(item):
            return np.full(n, low), np.full(n, high)
        sensitivity = (diagonals / np.array(self.sizes)).mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            floor = np.where(2 * sensitivity > low, low * sensitivity / (2 * sensitivity - low), np.inf)
            ceiling = np.where(2 * sensitivity > high, high * sensitivity / (2 * sensitivity - high), np.inf)
        # An F1 of 0 from a PPV or a sensitivity of 0 limits neither; the exact check decides.
        return np.where(low <= 0, 0.0, floor), np.minimum(ceiling, 2.0)

    def _harmonic(self, item: Printed) -> bool:
        return item.metric == "f1" and item.average == "macro" and self.rules.macro_f1 == "harmonic"

    def _gain(
        self, item: Printed, j: int, correct: IntArray, wrong: IntArray, low: FloatArray, high: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """What class j adds to the sums of (value - low) and of (value - high)."""
        total, k = sum(self.sizes), len(self.sizes)
        if item.metric == "kappa":
            # kappa >= low is D/N - C/N^2 >= low (1 - C/N^2), D correct patients, C sum of row times column totals.
            hits, chance = correct / total, self.sizes[j] * (correct + wrong) / total**2
            return hits - (1 - low) * chance - low / k, hits - (1 - high) * chance - high / k
        value = self._value("ppv" if self._harmonic(item) else item.metric, j, correct, wrong)
        weight = self._weight(item, j)
        gain_low, gain_high = weight * (value - low), weight * (value - high)
        if self.rules.undefined == "exclude":
            return np.where(np.isnan(value), 0.0, gain_low), np.where(np.isnan(value), 0.0, gain_high)
        return gain_low, gain_high

    def _value(self, metric: str, j: int, correct: IntArray, wrong: IntArray) -> FloatArray:
        others, missed = sum(self.sizes) - self.sizes[j], self.sizes[j] - correct
        top, bottom = {
            "ppv": (correct, correct + wrong),
            "specificity": (others - wrong, np.full_like(wrong, others)),
            "npv": (others - wrong, others - wrong + missed),
            "sensitivity": (correct, np.full_like(correct, self.sizes[j])),
            "f1": (2 * correct, self.sizes[j] + correct + wrong),
        }[metric]
        undefined = {"exclude": np.nan, "zero": 0.0, "one": 1.0}[self.rules.undefined]
        value: FloatArray = np.divide(top, bottom, out=np.full(len(wrong), undefined), where=bottom > 0)
        return value

    def _class_fits(self, j: int, correct: IntArray, wrong: IntArray) -> NDArray[np.bool_]:
        keep = np.ones(len(wrong), dtype=bool)
        for item in self.printed:
            if item.of == j:
                low, high = (float(limit) for limit in item.limits(self.rules.rounding))
                value = self._value(item.metric, j, correct, wrong)
                keep &= (value >= low - _SLACK) & (value <= high + _SLACK)
        return keep

    def values(self, item: Printed, correct: IntArray, wrong: IntArray) -> FloatArray:
        """A metric for each of (n, K) diagonals and false positives; NaN where undefined."""
        sizes = np.array(self.sizes, dtype=np.float64)
        total = sizes.sum()
        if item.of >= 0:
            return self._value(item.metric, item.of, correct[:, item.of], wrong[:, item.of])
        if item.metric == "accuracy":
            return np.asarray(correct.sum(axis=1) / total)
        if item.metric == "kappa":
            chance = (sizes * (correct + wrong)).sum(axis=1) / total**2
            return np.asarray((correct.sum(axis=1) / total - chance) / np.where(chance < 1, 1 - chance, np.nan))
        if self._harmonic(item):
            ppv, sensitivity = (self._mean_value(name, item, correct, wrong) for name in ("ppv", "sensitivity"))
            return np.asarray(2 * ppv * sensitivity / np.where(ppv + sensitivity > 0, ppv + sensitivity, np.nan))
        return self._mean_value(item.metric, item, correct, wrong)

    def _mean_value(self, metric: str, item: Printed, correct: IntArray, wrong: IntArray) -> FloatArray:
        columns = [self._value(metric, j, correct[:, j], wrong[:, j]) for j in range(len(self.sizes))]
        table = np.stack(columns, axis=1)
        weight = np.where(np.isnan(table), 0.0, [self._weight(item, j) for j in range(len(self.sizes))])
        bottom = weight.sum(axis=1)
        top: FloatArray = (weight * np.nan_to_num(table)).sum(axis=1)
        return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))
