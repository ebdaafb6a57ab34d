"""What differs between two protocols, item by item, and whether an amendment may change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from reader_study.protocol.computable import uncomputable
from reader_study.protocol.document import canonical
from reader_study.protocol.nodes import Problem

ABSENT: Final = "(absent)"

# While somebody reads, only these may change, and readers may be added. Never classes or cases: answers hang on them.
_PROFILE: Final = frozenset({"years", "specialty", "training"})
_NEVER: Final = frozenset({"schema", "classes", "cases", "images_per_case", "order_seed", "arms"})
_BY_CODE: Final = (("cases", "patients"), ("cases", "training"))


@dataclass(frozen=True, slots=True)
class Change:
    """``old`` or ``new`` is ABSENT where the item was added or removed. ``parts`` are the names on the way to it: a
    label may hold a dot, so rules go by them and not by the path."""

    path: str
    old: Any
    new: Any
    parts: tuple[str, ...]

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
    return list(_walk((), old, new))


def _change(parts: tuple[str, ...], old: Any, new: Any, *, order: bool = False) -> Change:
    path = ".".join(parts) + (" (order)" if order else "")
    return Change(path, old, new, parts)


def _walk(parts: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _walk((*parts, str(key)), old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _walk_lists(parts, old, new)
    else:
        yield _change(parts, old, new)


def _walk_lists(parts: tuple[str, ...], old: list[Any], new: list[Any]) -> Iterator[Change]:
    if parts == ("readers",) and _unique(old, "label") and _unique(new, "label"):
        before, after = ({reader["label"]: reader for reader in readers} for readers in (old, new))
        yield from _walk(parts, before, after)
        if list(before) != list(after) and set(before) == set(after):
            yield _change(parts, list(before), list(after), order=True)
    elif parts in _BY_CODE and len(set(old)) == len(old) and len(set(new)) == len(new):
        for code in [*(c for c in old if c not in new), *(c for c in new if c not in old)]:
            gone = code in old
            yield _change((*parts, code), code if gone else ABSENT, ABSENT if gone else code)
        if set(old) == set(new):
            yield _change(parts, old, new, order=True)
    else:
        for index in range(max(len(old), len(new))):
            left = old[index] if index < len(old) else ABSENT
            right = new[index] if index < len(new) else ABSENT
            yield from _walk((*parts, str(index + 1)), left, right)


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
        path, parts = change.path, change.parts
        reader, whole = parts[0] == "readers" and len(parts) > 1, len(parts) == 2
        if reader and whole and change.new == ABSENT:
            problems.append(Problem(path, "A reader cannot be taken out.", "Replace the reader instead."))
        elif parts[0] in _NEVER:
            problems.append(Problem(path, f"{path} cannot change after the lock.", "Design a new study for this."))
        elif reader and not whole and parts[2] in ("username", "sessions"):
            problems.append(Problem(path, "Who reads what was laid out at the lock.", "Replace the reader instead."))
        elif reading_started and parts != ("closes_on",) and not (reader and (whole or parts[2] in _PROFILE)):
            problems.append(
                Problem(path, f"{path} cannot change while reading is open.",
                        "Only the closing day can move, readers' profiles be corrected and readers be added.")
            )  # fmt: skip
    known = uncomputable(old)
    return problems + [problem for problem in uncomputable(new) if problem not in known]
