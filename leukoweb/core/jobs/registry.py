"""Which function does which kind of job. Paths, not functions: the web process must not import a worker's module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leukoweb.core.jobs.context import JobContext

QUEUES = ("ops", "infer", "train")  # short chores; inference (one per device); training (one per device, hours)


@dataclass(frozen=True)
class Kind:
    name: str
    path: str
    queue: str
    unit: str

    def handler(self) -> Callable[[JobContext], str | None]:
        module, _, function = self.path.partition(":")
        return getattr(import_module(module), function)  # type: ignore[no-any-return]


_kinds: dict[str, Kind] = {}


def register_kind(name: str, path: str, *, queue: str, unit: str = "steps") -> None:
    """Called from an app's ``ready()``. ``path`` is ``package.module:function``, taking a JobContext."""
    if queue not in QUEUES:
        raise ValueError(f"unknown queue {queue!r}; it must be one of {', '.join(QUEUES)}")
    _kinds[name] = Kind(name, path, queue, unit)


def kind(name: str) -> Kind:
    return _kinds[name]
