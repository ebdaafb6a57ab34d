"""What differs between two protocols, item by item, and whether an amendment may change it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from reader_study.protocol.computable import uncomputable
from reader_study.protocol.document import canonical
from reader_study.protocol.nodes import Problem, join

ABSENT: Final = "(absent)"

# While somebody reads, only these may change, and readers may be added. Never classes or cases: answers hang on them.
_WHILE_READING: Final = re.compile(r"closes_on|readers\.[^.]+(\.(years|specialty|training))?")
_NEVER: Final = re.compile(r"(schema|classes|cases|images_per_case|order_seed|arms)(\..*)?")


@dataclass(frozen=True, slots=True)
class Change:
    """``old`` or ``new`` is ABSENT where the item was added or removed."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}"

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "old": self.old, "new": self.new}


def _shown(value: Any) -> str:
    return str(value) if value == ABSENT else repr(value)[:200]


def diff(old: Any, new: Any) -> list[Change]:
    """Every item that differs, by path; readers are matched by their label, patients by their code.

    Raises
    ------
    ProtocolRefused
    """
    return differing(canonical(old), canonical(new))


def differing(old: Any, new: Any) -> list[Change]:
    """``diff`` of two documents as they stand, also of those that an earlier program wrote."""
    return list(_walk("", old, new))


def _walk(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _walk(join(path, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _walk_lists(path, old, new)
    else:
        yield Change(path, old, new)


def _walk_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    if path == "readers" and _unique(old, "label") and _unique(new, "label"):
        before, after = ({reader["label"]: reader for reader in readers} for readers in (old, new))
        yield from _walk(path, before, after)
        if list(before) != list(after) and set(before) == set(after):
            yield Change(f"{path} (order)", list(before), list(after))
    elif path in ("cases.patients", "cases.training") and len(set(old)) == len(old) and len(set(new)) == len(new):
        for code in [*(c for c in old if c not in new), *(c for c in new if c not in old)]:
            gone = code in old
            yield Change(f"{path}.{code}", code if gone else ABSENT, ABSENT if gone else code)
        if set(old) == set(new):
            yield Change(f"{path} (order)", old, new)
    else:
        for index in range(max(len(old), len(new))):
            left = old[index] if index < len(old) else ABSENT
            right = new[index] if index < len(new) else ABSENT
            yield from _walk(join(path, index + 1), left, right)


def _unique(readers: list[Any], key: str) -> bool:
    labels = [reader[key] for reader in readers]
    return all(labels) and len(set(labels)) == len(labels)


def amendment_problems(old: Any, new: Any, *, reading_started: bool) -> list[Problem]:
    """Why these changes cannot be made to a locked protocol.

    Classes, cases, fields and orders never change: the sessions were laid out from them at the lock. Once somebody
    has opened a session, only the closing day and readers' profiles change, and readers are added. What no analysis
    could compute stays where it was locked, and does not come in.
    """
    problems = []
    for change in diff(old, new):
        path = change.path
        if path.startswith("readers.") and path.count(".") == 1 and change.new == ABSENT:
            problems.append(Problem(path, "A reader cannot be taken out.", "Replace the reader instead."))
        elif _NEVER.fullmatch(path.removesuffix(" (order)")):
            problems.append(Problem(path, f"{path} cannot change after the lock.", "Design a new study for this."))
        elif re.fullmatch(r"readers\.[^.]+\.(username|sessions.*)", path):
            problems.append(Problem(path, "Who reads what was laid out at the lock.", "Replace the reader instead."))
        elif reading_started and not _WHILE_READING.fullmatch(path.removesuffix(" (order)")) and path != "readers":
            problems.append(
                Problem(path, f"{path} cannot change while reading is open.",
                        "Only the closing day can move, readers' profiles be corrected and readers be added.")
            )  # fmt: skip
    known = uncomputable(old)
    return problems + [problem for problem in uncomputable(new) if problem not in known]
