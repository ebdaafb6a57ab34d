"""What changed from one dataset version to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cases.manifests import Line

KINDS: Final[Mapping[str, str]] = {
    "added": "Only in the second",
    "removed": "Only in the first",
    "relabelled": "Other label",
    "moved": "Other side or fold",
}


@dataclass(frozen=True)
class Change:
    """One image: where it was and where it is. An image with another label that also moved is ``relabelled``."""

    kind: str
    before: Line | None
    after: Line | None

    @property
    def line(self) -> Line:
        line = self.after or self.before
        if line is None:
            raise ValueError("A change has a before or an after.")
        return line


def diff(first: Iterable[Line], second: Iterable[Line], recoded: Mapping[str, str] | None = None) -> list[Change]:
    """Changes by patient and image bytes, in the order of `KINDS`; a new code alone, of slide or patient, is none.

    ``recoded``: code of a patient in the first version -> the one in the second, where they differ.
    """
    now = recoded or {}
    old = {(now.get(line.patient, line.patient), line.content_sha256): line for line in first}
    new = {(line.patient, line.content_sha256): line for line in second}
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before is None:
            changes.append(Change("added", None, after))
        elif after is None:
            changes.append(Change("removed", before, None))
        elif before.label != after.label:
            changes.append(Change("relabelled", before, after))
        elif (before.split, before.fold) != (after.split, after.fold):
            changes.append(Change("moved", before, after))
    order = list(KINDS)
    return sorted(changes, key=lambda change: order.index(change.kind))


def transitions(changes: Sequence[Change]) -> list[tuple[str, str, int]]:
    """(label before, label after, images) of the relabelled ones, the most frequent first."""
    counted = Counter(
        (c.before.label, c.after.label) for c in changes if c.kind == "relabelled" and c.before and c.after
    )
    return [(old, new, n) for (old, new), n in counted.most_common()]


TITLES: Final[Mapping[str, str]] = {
    "class_map": "Class map", "cohorts": "Cohorts", "folds": "Folds", "fraction": "Internal share of patients",
    "min_images": "Minimum of images per slide", "rules": "Consensus", "seed": "Seed",
    "sides_of": "Sides kept of", "tasks": "Sorting tasks",
}  # fmt: skip


def rules_in_words(choices: Mapping[str, Any]) -> str:
    """The consensus rules of a version: one name if all tasks have the same, otherwise each with its task."""
    rules = [str(rule["rule"]) for rule in choices["rules"]]
    if len(set(rules)) == 1:
        return rules[0]
    return ", ".join(f"{task}: {rule}" for task, rule in zip(choices["tasks"], rules, strict=True))


def in_words(name: str, choices: Mapping[str, Any]) -> str:
    """A setting as a person reads it."""
    value = choices.get(name)
    if name == "rules" and value:
        told = [", ".join([str(rule["rule"]), *(f"{key} {rule[key]}" for key in sorted(rule) if key != "rule")])
                for rule in value]  # fmt: skip
        return "; ".join(dict.fromkeys(told))
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return "none" if value in (None, "", 0) and name in ("folds", "sides_of") else str(value)


def changed_choices(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(setting, in the first, in the second) of the settings that differ, in words."""
    return [
        (TITLES.get(name, name), in_words(name, first), in_words(name, second))
        for name in sorted(first.keys() | second.keys())
        if in_words(name, first) != in_words(name, second)
    ]
