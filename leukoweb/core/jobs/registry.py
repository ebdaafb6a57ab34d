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
    title: str
    link: str

    def handler(self) -> Callable[[JobContext], str | None]:
        module, _, function = self.path.partition(":")
        return getattr(import_module(module), function)  # type: ignore[no-any-return]


_kinds: dict[str, Kind] = {}


def register_kind(name: str, path: str, *, queue: str, unit: str = "steps", title: str = "", link: str = "") -> None:
    """Called from an app's ``ready()``. ``path`` is ``package.module:function``, taking a JobContext; ``title`` is what
    people call such jobs; ``link`` is the path of the function that knows where they lead (``core.jobs.links``)."""
    if queue not in QUEUES:
        raise ValueError(f"unknown queue {queue!r}; it must be one of {', '.join(QUEUES)}")
    _kinds[name] = Kind(name, path, queue, unit, title or name, link)


def kind(name: str) -> Kind:
    return _kinds[name]


def kind_titles() -> list[tuple[str, str]]:
    """(name, title) of every kind, by title."""
    return sorted(((known.name, known.title) for known in _kinds.values()), key=lambda pair: pair[1])


def link_path(name: str) -> str:
    """Empty where nothing is linked; a row of the ledger may outlive its kind."""
    return _kinds[name].link if name in _kinds else ""
