"""torch's threads are the process's: who sets them for one piece of work gives them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_given_back() -> Iterator[None]:
    """Behind the block torch computes with as many threads as before it, however the block ends."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
