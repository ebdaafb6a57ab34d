"""Close calls of several batches, settled together.

Mostly one field of a batch is a close call, and on a small network one field alone costs twice as much in fp32 as
one of eight. So a pass over a slide puts them aside and settles them when there are enough, or at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.engine import Engine, EngineOutput, RecheckedEngine

TOGETHER: Final = 8

Key = TypeVar("Key")
Finished = list[tuple[list[Key], EngineOutput]]


class CloseCalls(Generic[Key]):
    """One engine's pass over many batches; every image's answer is the one that ``engine.infer`` gives.

    ``add`` returns what is final, as (keys, output) with a row for each key; the rest comes from a later ``add`` or
    from ``settle``, which ends the pass. At most ``TOGETHER`` images and those of one batch are put aside.
    """

    def __init__(self, engine: Engine, *, with_features: bool = False) -> None:
        self._engine, self._with_features = engine, with_features
        self._keys: list[Key] = []
        self._images: list[NDArray[np.uint8]] = []

    @property
    def waiting(self) -> tuple[Key, ...]:
        """The keys of what was put aside."""
        return tuple(self._keys)

    def add(self, keys: Sequence[Key], batch: NDArray[np.uint8]) -> Finished[Key]:
        """``batch`` is (n, size_px, size_px, 3) uint8 with a key for each image."""
        if not isinstance(self._engine, RecheckedEngine):
            return [(list(keys), self._engine.infer(batch, with_features=self._with_features))]
        output, close = self._engine.look(batch, with_features=self._with_features)
        self._keys += [keys[i] for i in close]
        self._images += [batch[i].copy() for i in close]
        sure = np.setdiff1d(np.arange(len(keys)), close)
        features = None if output.features is None else output.features[sure]
        finished = [([keys[i] for i in sure], EngineOutput(output.logits[sure], features))] if sure.size else []
        return finished + (self.settle() if len(self._keys) >= TOGETHER else [])

    def settle(self) -> Finished[Key]:
        """The answers for everything that was put aside."""
        if not self._keys or not isinstance(self._engine, RecheckedEngine):
            return []
        keys, images, self._keys, self._images = self._keys, self._images, [], []
        return [(keys, self._engine.settle(np.stack(images), with_features=self._with_features))]
