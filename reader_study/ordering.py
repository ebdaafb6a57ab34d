"""Orders of cases and fields, and the choice of fields: functions of a stored seed and of nothing else.

Every place is decided by SHA-256 of seed and key, not by a random generator, so that an order is the same on every
version of Python, on both databases, and whatever order the rows came in. The keys are random codes and content
hashes; neither import order, diagnosis nor number of fields can show through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

SEED_MAX = 2**63 - 1  # what a PositiveBigIntegerField holds on both databases


def rank(seed: int, purpose: str, key: str) -> str:
    """The place of ``key`` under ``seed`` as a hexadecimal number; a different purpose gives a different order."""
    return hashlib.sha256(f"{seed}\x1f{purpose}\x1f{key}".encode()).hexdigest()


def session_seed(order_seed: int, reader: str, number: int) -> int:
    """The seed of a session, from the study's. Readers and sessions get orders that have nothing in common.

    >>> session_seed(7, "P1", 1) == session_seed(7, "P1", 1) != session_seed(7, "P1", 2)
    True
    """
    return int(rank(order_seed, "session", f"{reader}\x1f{number}")[:16], 16) & SEED_MAX


def case_order(codes: Iterable[str], *, seed: int, training: Collection[str] = ()) -> list[str]:
    """All cases in reading order: training cases first, then the real ones, each part shuffled by the seed.

    Raises
    ------
    ValueError
        A code stands twice.
    """
    found = list(codes)
    if len(set(found)) != len(found):
        raise ValueError("a case stands twice in the list")
    return sorted(found, key=lambda code: (code not in training, rank(seed, "case", code)))


def image_order(contents: Sequence[str], *, seed: int, case: str, chosen: Collection[int] | None = None) -> list[int]:
    """Indices into ``contents`` (hashes in capture order) in the order in which a session shows them.

    Parameters
    ----------
    chosen
        Indices of ``fixed_images``; all if not given.
    """
    indices = range(len(contents)) if chosen is None else chosen
    return sorted(indices, key=lambda index: rank(seed, f"image\x1f{case}", f"{contents[index]}\x1f{index}"))


def fixed_images(contents: Sequence[str], *, k: int | None, order_seed: int, case: str) -> list[int]:
    """The ``k`` fields of a case that everybody reads, as sorted indices; all of them if there are not more than k.

    The study's seed decides, not the session's: all readers, and both sessions of one reader, see the same fields.
    """
    indices = range(len(contents))
    if k is None or k >= len(contents):
        return list(indices)
    if k < 1:
        raise ValueError(f"{k} fields per case: at least 1 is needed")
    ranked = sorted(indices, key=lambda index: rank(order_seed, f"chosen\x1f{case}", f"{contents[index]}\x1f{index}"))
    return sorted(ranked[:k])
