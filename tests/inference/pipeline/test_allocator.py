"""Freed memory is kept while a network is trained, and given back behind it."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from inference.pipeline.allocator import freed_memory_kept

BLOCK = 256 * 2**20
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="LEUKOWEB_SHARED or not, only glibc can be told")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def touched_and_freed() -> int:
    """Resident bytes after a large block was filled and freed."""
    block = np.ones(BLOCK, np.uint8)
    del block
    return resident()


@glibc
def test_memory_stays_within_and_goes_behind() -> None:
    before = resident()
    with freed_memory_kept() as kept:
        assert kept
        assert touched_and_freed() - before > BLOCK * 0.5, "some of it may have been free before"
    assert resident() - before < BLOCK * 0.2
    assert touched_and_freed() - before < BLOCK * 0.2, "as before"


@glibc
def test_an_error_gives_it_back_too() -> None:
    before = resident()
    with pytest.raises(ValueError, match="stop"), freed_memory_kept():
        touched_and_freed()
        raise ValueError("stop")
    assert resident() - before < BLOCK * 0.1


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.pipeline.allocator._glibc", lambda: None)
    with freed_memory_kept() as kept:
        assert not kept
