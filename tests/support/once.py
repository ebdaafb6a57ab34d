"""What takes seconds to make is made by one of a run's test processes, for all of them to read."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

Once = Callable[[str, Callable[[Path], object]], Path]


def made_once(common: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` below ``common``, which ``make(folder)`` fills if no other process has."""
    done = common / name
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            part = common / f"{name}.part"
            part.mkdir()
            make(part)
            part.rename(done)
    return done
