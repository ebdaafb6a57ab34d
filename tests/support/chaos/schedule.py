"""What happens when, drawn from a seed: the same seed gives the same deeds in the same order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Schedule:
    """``for deed in Schedule(seed).deeds(50, ["kill web", "cut"])``; pauses and choices come from the same source."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)

    def deeds(self, count: int, kinds: Sequence[T]) -> Iterator[T]:
        """``count`` deeds; each kind comes once in a shuffled round, so that none is left out of a short run."""
        waiting: list[T] = []
        for _ in range(count):
            if not waiting:
                waiting = list(kinds)
                self._random.shuffle(waiting)
            yield waiting.pop()

    def between(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pause(self, low: float, high: float) -> float:
        """Seconds."""
        return self._random.uniform(low, high)

    def one(self, of: Sequence[T]) -> T:
        return self._random.choice(of)

    def __str__(self) -> str:
        return f"seed {self.seed}"
