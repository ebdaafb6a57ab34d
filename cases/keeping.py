"""Splitting again without moving anybody: patients of an earlier version stay where they are, new ones are added.

A model that was trained on the earlier version can then be trained further, or judged, on the new one: no patient that
it has learned from becomes a patient that it is judged on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from cases.splitting import INTERNAL, TRAIN, CannotSplit, PatientCounts


def sides_kept(
    patients: Sequence[PatientCounts], before: Mapping[str, str], *, fraction: float, seed: int
) -> dict[str, str]:
    """Patient code -> ``train`` or ``internal``.

    Of the newcomers of each stratum so many become internal that the whole stratum comes nearest to ``fraction``, and
    a stratum of two or more has at least one there. Nobody of ``before`` moves, so a share can stay off.
    """
    placed = {patient.code: before[patient.code] for patient in patients if patient.code in before}
    strata: dict[str, list[PatientCounts]] = defaultdict(list)
    for patient in patients:
        strata[patient.stratum].append(patient)
    for members in strata.values():
        new = sorted((p.code for p in members if p.code not in before), key=lambda code: _order(seed, code))
        has = sum(placed.get(p.code) == INTERNAL for p in members)
        trained = len(members) - len(new) - has
        wanted = max(round(fraction * len(members)), 1 if len(members) > 1 else 0) - has
        most = len(new) if trained else len(new) - 1  # somebody must be left to learn from
        n = max(0, min(wanted, most))
        placed |= {code: INTERNAL if at < n else TRAIN for at, code in enumerate(new)}
    return placed


def folds_kept(
    patients: Sequence[PatientCounts], before: Mapping[str, int], *, folds: int, seed: int
) -> dict[str, int]:
    """Patient code -> fold; each newcomer goes where its stratum, and then everybody, is fewest.

    Raises `CannotSplit` where the earlier version has no folds, or another number of them.
    """
    here = [patient for patient in patients if patient.code in before]
    had = max(before.values(), default=0)
    if had != folds:
        told = f"has {had} folds" if had else "has no folds"
        raise CannotSplit(
            f"The version whose sides are kept {told}; {folds} are asked for.", field="folds",
            hint="Ask for as many, or keep nobody's sides.",
        )  # fmt: skip
    placed = {patient.code: before[patient.code] for patient in here}
    by_stratum = Counter((patient.stratum, placed[patient.code]) for patient in here)
    in_all = Counter(placed.values())
    new = [patient for patient in patients if patient.code not in before]
    for patient in sorted(new, key=lambda p: _order(seed, p.code)):
        fold = min(range(1, folds + 1), key=lambda f: (by_stratum[patient.stratum, f], in_all[f], f))
        placed[patient.code] = fold
        by_stratum[patient.stratum, fold] += 1
        in_all[fold] += 1
    return placed


def _order(seed: int, code: str) -> bytes:
    """As a drawn split: the same seed gives the same order everywhere."""
    return hashlib.sha256(f"{seed}\n0\n{code}".encode()).digest()
