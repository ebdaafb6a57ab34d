"""Splitting patients into training and internal validation, or into folds, and proving that nothing leaks.

A split never depends on the order of rows, on database ids or on a random generator of some library: patients are
drawn in the order of the SHA-256 of ``seed, draw, code``, so the same seed gives the same split everywhere.

The proof is made from the finished list of images and knows nothing of how the split was made.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from leukoweb.core.exceptions import DomainError

TRAIN: Final = "train"
INTERNAL: Final = "internal"
DRAWS: Final = 64
"""Random splits that are looked at; the one whose images come nearest to the wanted share in every class is taken."""


class CannotSplit(DomainError):
    code = "E_SPLIT"


@dataclass(frozen=True)
class PatientCounts:
    """A patient's code, stratum, and images by class."""

    code: str
    stratum: str
    by_class: Mapping[str, int]

    @property
    def n_images(self) -> int:
        return sum(self.by_class.values())


def stratum_of(by_class: Mapping[str, int], classes: Sequence[str], background: str | None) -> str:
    """The class that a patient counts for: the one with most images, ``background`` only if there is no other.

    A leukemia patient has fields without leukemic cells, often most of them; one field that shows the leukemia
    makes the patient one of its class. A tie goes to the earlier class. Raises `CannotSplit` without any image.
    """
    present = {name: by_class.get(name, 0) for name in classes if by_class.get(name, 0)}
    if not present:
        raise CannotSplit("A patient without images has no class.")
    telling = {name: count for name, count in present.items() if name != background} or present
    most = max(telling.values())
    return next(name for name in classes if telling.get(name) == most)


def split_patients(
    patients: Sequence[PatientCounts], *, fraction: float, seed: int, classes: Sequence[str]
) -> dict[str, str]:
    """Patient code -> ``train`` or ``internal``; about ``fraction`` of every stratum's patients are internal.

    A stratum of one patient stays in training; one of two or more has at least one on each side.

    Raises
    ------
    CannotSplit
        ``fraction`` outside 0 to 0.5, or fewer than two patients.
    """
    if not 0 < fraction <= 0.5:
        raise CannotSplit(
            f"The internal share is {fraction}; it must lie above 0 and be 0.5 at most.", field="fraction"
        )
    if len(patients) < 2:
        raise CannotSplit(
            f"{len(patients)} patient cannot be split.", hint="At least two patients with labelled images are needed."
        )
    strata = _strata(patients, classes)
    n_internal = _shares(strata, fraction)
    total: Counter[str] = Counter()
    for patient in patients:
        total.update(patient.by_class)
    best: tuple[float, frozenset[str]] | None = None
    for draw in range(DRAWS):
        chosen: list[PatientCounts] = []
        for name, members in strata.items():
            chosen += sorted(members, key=lambda p: _order(seed, draw, p.code))[: n_internal[name]]
        distance = _distance(chosen, total, fraction)
        if best is None or distance < best[0] - 1e-12:
            best = distance, frozenset(patient.code for patient in chosen)
    internal = best[1] if best else frozenset()
    return {patient.code: INTERNAL if patient.code in internal else TRAIN for patient in patients}


def fold_patients(
    patients: Sequence[PatientCounts], *, folds: int, seed: int, classes: Sequence[str]
) -> dict[str, int]:
    """Patient code -> fold, 1 to ``folds``; every stratum is dealt out evenly.

    Raises
    ------
    CannotSplit
        ``folds`` outside 2 to 20, or fewer patients than folds.
    """
    if not 2 <= folds <= 20:
        raise CannotSplit(f"{folds} folds cannot be made; use 2 to 20, or 0 for none.", field="folds")
    if len(patients) < folds:
        raise CannotSplit(
            f"{len(patients)} patients cannot be dealt to {folds} folds.", field="folds", hint="Use fewer folds."
        )
    n_patients, n_images = Counter[int](), Counter[int]()
    dealt: dict[str, int] = {}
    for members in _strata(patients, classes).values():
        here: Counter[int] = Counter()
        for patient in sorted(members, key=lambda p: _order(seed, 0, p.code)):
            fold = min(range(1, folds + 1), key=lambda f: (here[f], n_patients[f], n_images[f], f))
            dealt[patient.code] = fold
            here[fold] += 1
            n_patients[fold] += 1
            n_images[fold] += patient.n_images
    return dealt


def _order(seed: int, draw: int, code: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{draw}\n{code}".encode()).digest()


def _strata(patients: Iterable[PatientCounts], classes: Sequence[str]) -> dict[str, list[PatientCounts]]:
    members: dict[str, list[PatientCounts]] = {name: [] for name in classes}
    for patient in patients:
        members[patient.stratum].append(patient)
    return {name: rows for name, rows in members.items() if rows}


def _shares(strata: Mapping[str, Sequence[PatientCounts]], fraction: float) -> dict[str, int]:
    """Internal patients of each stratum: largest remainders of the share, at least one where two can be."""
    exact = {name: fraction * len(rows) for name, rows in strata.items()}
    least = {name: 1 if len(rows) > 1 else 0 for name, rows in strata.items()}
    counts = {name: max(least[name], int(exact[name])) for name in strata}
    wanted = round(fraction * sum(len(rows) for rows in strata.values()))
    order = sorted(strata, key=lambda name: -(exact[name] - int(exact[name])))  # stable: class order breaks ties
    for name in order:
        if sum(counts.values()) < wanted and counts[name] < len(strata[name]) - 1 and counts[name] < exact[name]:
            counts[name] += 1
    return counts


def _distance(internal: Sequence[PatientCounts], total: Mapping[str, int], fraction: float) -> float:
    """Sum over classes of |share of the class's images that is internal - wanted|: every class counts the same."""
    here: Counter[str] = Counter()
    for patient in internal:
        here.update(patient.by_class)
    return sum(abs(here[name] / count - fraction) for name, count in total.items() if count)


@dataclass(frozen=True)
class Placed:
    """An image of a finished list: whose, of which bytes, in which group of alike images, on which side."""

    patient: str
    content: str
    group: int
    split: str
    fold: int


@dataclass(frozen=True)
class Check:
    """One line of the proof: ``n_looked`` things were looked at, ``found`` names those that are on two sides."""

    name: str
    title: str
    n_looked: int
    found: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.found

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "found": list(self.found), "passed": self.passed}


def leakage_checks(images: Sequence[Placed], *, external: Mapping[str, str]) -> list[Check]:
    """What is on two sides of the split, or of any two folds, or in an external set as well.

    Parameters
    ----------
    external
        Content hash of every image of external cohorts -> its patient.
    """
    sequestered = set(external.values())
    met = {i.patient for i in images if i.content in external or i.patient in sequestered}
    return [
        _apart("patient", "No patient is in both parts", images, lambda i: i.patient),
        _apart("image", "No image (by the hash of its bytes) is in both parts", images, lambda i: i.content),
        _apart("group", "No group of images that look the same is in both parts", images, lambda i: str(i.group)),
        Check(
            "external", "No image and no patient is in an external validation cohort", len(external),
            tuple(sorted(met)),
        ),
    ]  # fmt: skip


def _apart(name: str, title: str, images: Sequence[Placed], key: Any) -> Check:
    sides: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for image in images:
        sides[key(image)].add((image.split, image.fold))
    return Check(name, title, len(sides), tuple(sorted(at for at, where in sides.items() if len(where) > 1)))
