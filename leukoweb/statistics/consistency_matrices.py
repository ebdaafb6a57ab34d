"""Confusion matrices of whole numbers with a given diagonal, given row sums and given column sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from leukoweb.statistics.consistency_metrics import Signature

Matrix = tuple[tuple[int, ...], ...]


# Branches that are entered without meeting a matrix before giving up; only known cells make dead ends at all.
MAX_BRANCHES = 300_000


class Listing(NamedTuple):
    """Matrices that were found, and whether nothing was left out."""

    matrices: list[Matrix]
    complete: bool


class _TooManyBranches(Exception):
    """The look ahead did not keep the search out of dead ends."""


def first_matrices(
    sizes: Sequence[int], signature: Signature, known: Mapping[tuple[int, int], int], most: int
) -> Listing:
    """Up to ``most`` matrices; incomplete when there are more, or when too many branches lead nowhere."""
    found: list[Matrix] = []
    try:
        for matrix in matrices(sizes, signature, known):
            if len(found) == most:
                return Listing(found, False)
            found.append(matrix)
    except _TooManyBranches:
        return Listing(found, False)
    return Listing(found, True)


def matrices(sizes: Sequence[int], signature: Signature, known: Mapping[tuple[int, int], int]) -> Iterator[Matrix]:
    """All matrices (rows = reference) of a signature whose ``known`` cells have the given counts, one after
    the other.

    Row by row, with a look ahead that leaves no dead end when no cell is known: what row i still has to
    spread must fit into the other columns.
    """
    n = len(sizes)
    if any(signature.correct[i] != count for (i, j), count in known.items() if i == j):
        return
    wrong = [size - correct for size, correct in zip(sizes, signature.correct, strict=True)]
    room = list(signature.false_positives)
    if sum(wrong) != sum(room):
        return
    rows: list[tuple[int, ...]] = []
    branches = itertools.count()
    last_met = 0

    def fill(i: int) -> Iterator[Matrix]:
        nonlocal last_met
        if i == n:
            last_met = next(branches)
            yield tuple(rows)
            return
        for row in _spread(i, 0, wrong[i], []):
            for j, count in enumerate(row):
                room[j] -= count
            left = sum(room)
            if all(wrong[k] + room[k] <= left for k in range(i + 1, n)):
                rows.append(tuple(count + (signature.correct[i] if j == i else 0) for j, count in enumerate(row)))
                yield from fill(i + 1)
                rows.pop()
            for j, count in enumerate(row):
                room[j] += count

    def _spread(i: int, j: int, left: int, row: list[int]) -> Iterator[tuple[int, ...]]:
        if next(branches) - last_met > MAX_BRANCHES:
            raise _TooManyBranches
        if j == n:
            if left == 0:
                yield tuple(row)
            return
        if i == j:
            choices: Sequence[int] = (0,)
        elif (i, j) in known:
            choices = (known[i, j],) if known[i, j] <= min(left, room[j]) else ()
        else:
            choices = range(min(left, room[j]) + 1)
        for count in choices:
            # What is left must fit into the columns that are still to come.
            if left - count <= sum(room[k] for k in range(j + 1, n) if k != i):
                yield from _spread(i, j + 1, left - count, [*row, count])

    yield from fill(0)
