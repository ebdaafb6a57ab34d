from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.splitting import (
    INTERNAL,
    CannotSplit,
    PatientCounts,
    Placed,
    fold_patients,
    leakage_checks,
    split_patients,
    stratum_of,
)

CLASSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


def patients_of(counts: dict[str, int], n_images: int = 10) -> list[PatientCounts]:
    return [
        PatientCounts(f"{name}-{n}", name, {name: n_images + n % 7})
        for name, count in counts.items()
        for n in range(count)
    ]


def test_a_patient_counts_for_the_leukemia_that_is_seen() -> None:
    assert stratum_of({"AML": 1, "NO_LEUKEMIA": 30}, CLASSES, "NO_LEUKEMIA") == "AML"
    assert stratum_of({"NO_LEUKEMIA": 30}, CLASSES, "NO_LEUKEMIA") == "NO_LEUKEMIA"
    assert stratum_of({"CML": 2, "AML": 2}, CLASSES, "NO_LEUKEMIA") == "AML"  # a tie: class order
    with pytest.raises(CannotSplit):
        stratum_of({}, CLASSES, "NO_LEUKEMIA")


def test_the_papers_98_patients_split_80_to_20_with_every_class_on_both_sides() -> None:
    patients = patients_of({"ALL": 11, "AML": 34, "CLL": 9, "CML": 10, "NO_LEUKEMIA": 34})
    sides = split_patients(patients, fraction=0.2, seed=7, classes=CLASSES)
    internal = Counter(p.stratum for p in patients if sides[p.code] == INTERNAL)
    assert sum(internal.values()) == 20
    assert internal == {"ALL": 2, "AML": 7, "CLL": 2, "CML": 2, "NO_LEUKEMIA": 7}  # the paper's own internal row
    images = sum(p.n_images for p in patients if sides[p.code] == INTERNAL) / sum(p.n_images for p in patients)
    assert 0.18 < images < 0.22


def test_a_split_does_not_depend_on_the_order_of_patients_and_does_on_the_seed() -> None:
    patients = patients_of({"ALL": 6, "AML": 20, "NO_LEUKEMIA": 15})
    first = split_patients(patients, fraction=0.2, seed=1, classes=CLASSES)
    assert split_patients(patients[::-1], fraction=0.2, seed=1, classes=CLASSES) == first
    assert split_patients(patients, fraction=0.2, seed=2, classes=CLASSES) != first


@given(
    counts=st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 25), min_size=1),
    fraction=st.sampled_from([0.1, 0.2, 0.25, 0.5]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=40, deadline=None)
def test_no_stratum_is_torn_and_none_of_two_is_on_one_side(counts: dict[str, int], fraction: float, seed: int) -> None:
    patients = patients_of(counts)
    if len(patients) < 2:
        return
    sides = split_patients(patients, fraction=fraction, seed=seed, classes=CLASSES)
    assert set(sides) == {p.code for p in patients}
    for name, count in counts.items():
        internal = sum(sides[p.code] == INTERNAL for p in patients if p.stratum == name)
        assert (1 <= internal < count) if count > 1 else internal == 0


@given(
    counts=st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 25), min_size=1),
    folds=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_folds_hold_each_stratum_evenly(counts: dict[str, int], folds: int, seed: int) -> None:
    patients = patients_of(counts)
    if len(patients) < folds:
        with pytest.raises(CannotSplit):
            fold_patients(patients, folds=folds, seed=seed, classes=CLASSES)
        return
    dealt = fold_patients(patients, folds=folds, seed=seed, classes=CLASSES)
    for name in counts:
        sizes = [sum(dealt[p.code] == fold for p in patients if p.stratum == name) for fold in range(1, folds + 1)]
        assert max(sizes) - min(sizes) <= 1
    assert set(dealt.values()) == set(range(1, folds + 1))


@pytest.mark.parametrize(("fraction", "n"), [(0, 5), (0.6, 5), (0.2, 1)])
def test_what_cannot_be_split_is_refused(fraction: float, n: int) -> None:
    with pytest.raises(CannotSplit):
        split_patients(patients_of({"AML": n}), fraction=fraction, seed=0, classes=CLASSES)


def test_the_proof_finds_each_kind_of_leak() -> None:
    clean = [Placed("A", "1", 0, "train", 0), Placed("A", "2", 1, "train", 0), Placed("B", "3", 2, "internal", 0)]
    assert all(check.passed for check in leakage_checks(clean, external={"9": "X"}))

    def leaks(*more: Placed, external: dict[str, str] | None = None) -> set[str]:
        checks = leakage_checks([*clean, *more], external=external or {})
        return {check.name for check in checks if not check.passed}

    assert leaks(Placed("A", "4", 4, "internal", 0)) == {"patient"}
    assert leaks(Placed("C", "1", 4, "internal", 0)) == {"image"}
    assert leaks(Placed("C", "4", 0, "internal", 0)) == {"group"}
    assert leaks(external={"3": "X"}) == {"external"}
    folds = [Placed("A", "1", 0, "train", 2), Placed("A", "2", 1, "train", 3)]
    assert {c.name for c in leakage_checks(folds, external={}) if not c.passed} == {"patient"}
