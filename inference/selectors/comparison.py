"""Two results of one slide beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from inference.selectors.results import ClassValue, Field, Result, slot_title


@dataclass(frozen=True)
class Difference:
    """One image in two results: the largest change of probability, and its labels. ``first`` or ``second`` is None for
    an image that one of the two did not have."""

    position: int
    first: Field | None
    second: Field | None
    largest: float
    slots: tuple[tuple[str, ClassValue | None, ClassValue | None], ...]

    @property
    def label_changed(self) -> bool:
        """By a model that both have run on it: what one of them did not ask says nothing."""
        return any(a is not None and b is not None and a.name != b.name for _, a, b in self.slots)

    @property
    def in_both(self) -> bool:
        return self.first is not None and self.second is not None


def same_diagnosis(first: Result, second: Result) -> bool:
    """At the finest level that both give: of ALL and ACUTE, ACUTE."""
    a, b = first.prediction, second.prediction
    for one, other in ((a.diagnosis_5, b.diagnosis_5), (a.diagnosis_3, b.diagnosis_3)):
        if one and other:
            return one == other
    return a.diagnosis == b.diagnosis


def differences(first: Result, second: Result) -> list[Difference]:
    """Images of either result, matched by content; changed labels first, then by the size of the change, then what one
    of them alone has."""
    ours = {field.content_sha256: field for field in first.fields}
    theirs = {field.content_sha256: field for field in second.fields}
    found = []
    for content in ours | theirs:
        a, b = ours.get(content), theirs.get(content)
        slots, largest = [], 0.0
        for slot in dict.fromkeys([*first.slots_run, *second.slots_run]):
            x, y = (field.model(slot) if field else None for field in (a, b))
            slots.append((slot_title(slot), x.top if x else None, y.top if y else None))
            if x and y:
                p, q = ({v.name: v.probability for v in m.values} for m in (x, y))
                largest = max([largest, *(abs(p[name] - q[name]) for name in p.keys() & q.keys())])
        position = (a or b).position  # type: ignore[union-attr]
        found.append(Difference(position, a, b, largest, tuple(slots)))
    return sorted(found, key=lambda d: (not d.label_changed, not d.in_both, -d.largest, d.position))
