"""Memory that this process can still have: what the machine has left, or less where a container may not take it all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_V2: Final = ("memory.max", "memory.current", "inactive_file")
_V1: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The least of what Linux estimates can be had without swapping and of what each limit of a control group leaves.

    ``/proc/meminfo`` is the machine's also inside a container, whose limit then kills the process. Elsewhere than on
    Linux half of what the machine has.
    """
    return min([_machine(proc), *_groups(proc, cgroups)])


def _machine(proc: Path) -> int:
    try:
        for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What the limits of the process's groups, and of those above them, leave; version 2 and 1."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (cgroups / "memory", _V1) if controllers else (cgroups, _V2)
        folder = root / path.lstrip("/")  # a container without a namespace of its own sees its root alone
        for group in (folder, *folder.parents):
            if not group.is_relative_to(root):
                break
            left = _left(group, *names)
            if left is not None:
                yield left


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Limit minus use; pages of files that were not read lately count as free. None without a limit."""
    try:
        most = (group / limit).read_text(encoding="ascii").strip()
        if most == "max":
            return None
        used = int((group / usage).read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, int(most) - used + int(stat.get(reclaimable, 0)))
