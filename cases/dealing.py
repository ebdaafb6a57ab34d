"""Who sorts which images and in which order: dealt once, reproducible from the seed alone.

Orders come from SHA-256 over seed and image id, not from a random generator, so that they are the same on every
version of every library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

ALL, SPLIT, OVERLAP = "all", "split", "overlap"
ASSIGNMENTS: Final = (ALL, SPLIT, OVERLAP)


def shuffled(ids: Sequence[str], seed: int) -> list[str]:
    """A random order of ``ids`` that depends on ``seed`` and the ids only, not on the order they come in."""
    return sorted(ids, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())


def deal(
    ids: Sequence[str], seeds: Sequence[int], *, assignment: str, overlap_percent: int = 0, seed: int = 0
) -> list[list[str]]:
    """The queue of each sorter, in the sorter's own order.

    Parameters
    ----------
    ids
        Random public ids of the images.
    seeds
        One per sorter.
    assignment
        ``all``: everybody gets every image. ``split``: each image goes to one sorter. ``overlap``: split, and
        ``overlap_percent`` of the images (rounded) go to a second sorter as well.
    seed
        Of the task: decides who gets what.

    Shares differ by at most one image for ``split``, by fewer than the number of sorters for ``overlap``.

    Example
    -------
    >>> sorted(len(queue) for queue in deal([f"i{n}" for n in range(10)], [1, 2], assignment="overlap",
    ...                                     overlap_percent=40, seed=7))
    [7, 7]
    """
    if assignment not in ASSIGNMENTS or not seeds:
        raise ValueError(f"cannot deal {assignment!r} to {len(seeds)} sorters")
    if assignment == ALL:
        return [shuffled(ids, one) for one in seeds]
    hands: list[list[str]] = [[] for _ in seeds]
    order = shuffled(ids, seed)
    n_twice = round(len(order) * overlap_percent / 100) if assignment == OVERLAP and len(seeds) > 1 else 0
    for index, image in enumerate(order):
        hands[index % len(seeds)].append(image)
        if index < n_twice:
            # The second sorter moves on with every round, so that all pairs of sorters meet.
            step = 1 + (index // len(seeds)) % (len(seeds) - 1)
            hands[(index + step) % len(seeds)].append(image)
    return [shuffled(hand, one) for hand, one in zip(hands, seeds, strict=True)]
