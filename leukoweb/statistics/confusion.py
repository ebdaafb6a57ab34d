"""From labels to integer codes to confusion matrices. Rows = reference (or first rater), columns = predicted.

A missing read is ``MISSING`` (-1): it never becomes an extra class and never counts as wrong. Functions that
use two columns leave out the cases in which either is missing (pairwise deletion) and let the caller see how
many remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leukoweb.statistics.results import StatisticsError

MISSING = -1

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The declared classes in order. Errors: fewer than two, an empty name, a name given twice."""
    names = tuple(str(name) for name in classes)
    if len(names) < 2:
        raise StatisticsError(
            f"{len(names)} class is declared, at least 2 are needed.", code="E_CLASSES", field="classes"
        )
    if any(not name.strip() for name in names):
        raise StatisticsError("A declared class has an empty name.", code="E_CLASSES", field="classes")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StatisticsError(
            f"Declared twice: {', '.join(twice)}.", code="E_CLASSES", field="classes", hint="Name each class once."
        )
    return names


def encode(labels: Sequence[str | None], classes: Sequence[str], *, column: str = "") -> Ints:
    """Codes 0..K-1 in the order of ``classes``; None and empty text become ``MISSING``.  # (n_cases,)

    Errors: ``StatisticsError`` (E_UNKNOWN_LABEL) naming the first unknown label and its row, counted from 1 below the
    header.

    Example
    -------
    >>> encode(["AML", "", "ALL"], ["ALL", "AML"]).tolist()
    [1, -1, 0]
    """
    position = {name: code for code, name in enumerate(check_classes(classes))}
    codes = np.empty(len(labels), dtype=np.int64)
    for row, raw in enumerate(labels):
        label = "" if raw is None else str(raw).strip()
        if not label:
            codes[row] = MISSING
        elif label in position:
            codes[row] = position[label]
        else:
            where = f" of column {column}" if column else ""
            raise StatisticsError(
                f"Data row {row + 1}{where} holds {label!r}, which is not among the classes {', '.join(position)}.",
                code="E_UNKNOWN_LABEL",
                field=column,
                hint="Correct the label, or add the class to the list of classes.",
            )
    return codes


def check_codes(codes: ArrayLike, n_classes: int) -> Ints:
    """An integer array with values in -1..K-1. Errors: ``StatisticsError`` for anything else."""
    array: NDArray[Any] = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise StatisticsError(f"Codes must be integers, not {array.dtype}.", code="E_CODES")
    array = array.astype(np.int64, copy=False)
    if array.size and (array.min() < MISSING or array.max() >= n_classes):
        raise StatisticsError(
            f"Codes must lie in -1..{n_classes - 1}, found {array.min()}..{array.max()}.", code="E_CODES"
        )
    return array


def confusion_matrix(reference: ArrayLike, predicted: ArrayLike, n_classes: int) -> Ints:
    """Counts of (reference, predicted) over the cases in which both are read.  # (K, K)

    Errors: ``StatisticsError`` when the columns differ in length or hold codes outside -1..K-1.

    Example
    -------
    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, -1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    first, second = check_codes(reference, n_classes), check_codes(predicted, n_classes)
    if first.shape != second.shape or first.ndim != 1:
        raise StatisticsError(f"Columns of length {first.size} and {second.size} cannot be paired.", code="E_LENGTH")
    both = (first >= 0) & (second >= 0)
    cells = first[both] * n_classes + second[both]
    return np.bincount(cells, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def pair_cells(first: Ints, second: Ints, n_classes: int) -> Ints:
    """Cell number ``first * K + second`` per case; ``MISSING`` where either is missing.  # same shape"""
    return np.where((first >= 0) & (second >= 0), first * n_classes + second, MISSING)


def one_hot(codes: Ints, n_codes: int, dtype: type = np.float64) -> NDArray[Any]:
    """Indicator of each code along a new last axis; a missing read is all zero.  # (..., n_codes)"""
    hot: NDArray[Any] = (codes[..., None] == np.arange(n_codes)).astype(dtype)
    return hot


def pairwise_tables(ratings: Ints, n_classes: int) -> Floats:
    """Tables of all pairs of raters.  # (R, R, K, K) from (n, R)

    ``tables[a, b]`` has rater a in rows; cases without both reads are left out of that table. Each rater and class is
    a row of bits over the cases, and a count is the number of bits that two rows share. That is exact, as fast as a
    product of one-hot matrices on one core, and does not depend on how many threads the linear algebra library starts:
    on busy cores these wait for each other, which made the product up to 20 times slower.

    Example
    -------
    >>> pairwise_tables(np.array([[0, 0], [0, 1], [1, 1], [1, -1]]), 2)[0, 1].tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    n_cases, n_raters = ratings.shape
    hot = ratings.T[:, None, :] == np.arange(n_classes)[:, None]  # (R, K, n)
    packed = np.packbits(hot.reshape(n_raters * n_classes, n_cases), axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)  # (R * K, n / 64)
    counts = np.empty((n_raters * n_classes, n_raters * n_classes))
    for start in range(0, n_raters * n_classes, n_classes):
        mine = slice(start, start + n_classes)
        shared = np.bitwise_count(words[mine, None, :] & words[None, start:, :]).sum(-1, dtype=np.int64)
        counts[mine, start:], counts[start:, mine] = shared, shared.T
    tables: Floats = counts.reshape(n_raters, n_classes, n_raters, n_classes).transpose(0, 2, 1, 3).copy()
    return tables


def marginals(tables: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Row sums, column sums and diagonal of a stack of tables.  # each (..., K) from (..., K, K)

    One matrix product instead of three reductions over short axes, which is what a bootstrap spends its time on.
    """
    k = tables.shape[-1]
    picks = np.zeros((k, k, 3 * k))
    at = np.arange(k)
    picks[at, :, at] = picks[:, at, k + at] = 1.0
    picks[at, at, 2 * k + at] = 1.0
    sums = np.asarray(tables, dtype=np.float64).reshape(*tables.shape[:-2], k * k) @ picks.reshape(k * k, 3 * k)
    return sums[..., :k], sums[..., k : 2 * k], sums[..., 2 * k :]


def collapse(table: ArrayLike, positive: Sequence[int]) -> NDArray[Any]:
    """Positive against the rest.  # (..., 2, 2) from (..., K, K), class 0 = positive, 1 = negative

    Errors: ``StatisticsError`` when ``positive`` is empty, names all classes or a class that does not exist.

    Example
    -------
    >>> collapse([[5, 1, 0], [2, 6, 1], [0, 0, 9]], positive=[0, 1]).tolist()
    [[14, 1], [0, 9]]
    """
    array = np.asarray(table)
    n_classes = array.shape[-1]
    mask = np.zeros(n_classes, dtype=bool)
    for index in positive:
        if not 0 <= index < n_classes:
            raise StatisticsError(f"Positive class {index} does not exist among {n_classes}.", code="E_POSITIVE")
        mask[index] = True
    if not mask.any() or mask.all():
        raise StatisticsError(
            "The positive classes must be some, not none and not all, of the declared classes.",
            code="E_POSITIVE",
            field="positive",
        )
    groups = np.stack([mask, ~mask]).astype(array.dtype)  # (2, K)
    return np.asarray(groups @ array @ groups.T)
