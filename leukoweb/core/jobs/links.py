"""Where a row of the Jobs page leads. Each kind names the function that knows; core imports none of them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from leukoweb.core.jobs import registry
from leukoweb.core.models import Job, User


@dataclass(frozen=True)
class JobLink:
    """``words`` say what opens, because opening a result is a deed (ADR 0300)."""

    words: str
    url: str


Linker = Callable[[Sequence[Job], User], Mapping[uuid.UUID, JobLink]]
"""The links of jobs of one kind that this person may follow, by the job's id; as many queries for one as for many."""


def links_of(jobs: Iterable[Job], user: User) -> dict[uuid.UUID, JobLink]:
    """A job of a kind that is unknown (by now), or that leads nowhere, has none."""
    by_linker: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        path = registry.link_path(job.kind)
        if path:
            by_linker[path].append(job)
    links: dict[uuid.UUID, JobLink] = {}
    for path, group in by_linker.items():
        module, _, function = path.partition(":")
        linker: Linker = getattr(import_module(module), function)
        links.update(linker(group, user))
    return links
