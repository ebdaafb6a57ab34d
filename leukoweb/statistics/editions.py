"""Formulas as an earlier edition had them, for results that were printed before a fault was mended.

Everybody gets the newest edition; only who recomputes an old result asks for another, around the whole computation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

NEWEST: Final = 4
_edition: ContextVar[int] = ContextVar("edition", default=NEWEST)


def edition() -> int:
    """1: Tango's interval was a point where all pairs were alike, and mid-p took off twice too much at a tie.

    1 and 2: sensitivity and specificity of AI and readers named cases of all classes as left out, not those of theirs.
    Up to 3: McNemar's exact tests gave p = 1 without any case, which is a number where there is none.
    """
    return _edition.get()


@contextmanager
def computed_as(number: int) -> Iterator[None]:
    """Compute by the edition ``number`` within the block, in this thread."""
    token = _edition.set(number)
    try:
        yield
    finally:
        _edition.reset(token)
