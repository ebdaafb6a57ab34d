"""Orders: functions of the stored seed alone, different per session, unrelated to import order."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from reader_study.ordering import SEED_MAX, case_order, fixed_images, image_order, session_seed

CODES = [f"{n * 7919 % 100003:05d}" for n in range(64)]  # code n belongs to the n-th imported patient
SEEDS = 200


def test_an_order_depends_on_the_seed_and_not_on_how_the_rows_came() -> None:
    shuffled = random.Random(1).sample(CODES, len(CODES))
    assert case_order(CODES, seed=5) == case_order(shuffled, seed=5)
    assert sorted(case_order(CODES, seed=5)) == sorted(CODES)
    assert case_order(CODES, seed=5) != case_order(CODES, seed=6)
    assert case_order(CODES[:4], seed=5) == ["15838", "00000", "23757", "07919"]  # fixed for good


def test_training_cases_come_first() -> None:
    training = set(CODES[30:35])
    order = case_order(CODES, seed=9, training=training)
    assert set(order[:5]) == training


def test_rank_correlations_over_200_seeds_are_those_of_chance() -> None:
    """Spearman between orders of 64 has standard deviation 1/sqrt(63) = 0.126; its mean over 200 seeds 0.009."""
    imported = {code: n for n, code in enumerate(CODES)}
    with_import, between_sessions, neighbours = [], [], 0
    for seed in range(SEEDS):
        first, second = (
            case_order(CODES, seed=session_seed(seed, "P1", number)) for number in (1, 2)
        )  # fmt: skip
        place = {code: n for n, code in enumerate(second)}
        with_import.append(spearmanr(range(64), [imported[c] for c in first]).statistic)
        between_sessions.append(spearmanr(range(64), [place[c] for c in first]).statistic)
        pairs = set(pairwise(second))
        neighbours += sum(pair in pairs for pair in pairwise(first))
    print(f"mean rho with import order {np.mean(with_import):+.4f}, between sessions {np.mean(between_sessions):+.4f}")
    for rho in (with_import, between_sessions):
        assert abs(float(np.mean(rho))) < 0.03
        assert 0.10 < float(np.std(rho)) < 0.15
    assert abs(neighbours / SEEDS - 63 / 64) < 0.3  # a following pair recurs about once a session by chance


def test_classes_are_spread_evenly_over_the_positions() -> None:
    """Patients were imported class by class; the mean position of each class stays that of chance."""
    positions = np.zeros((SEEDS, 64))
    for seed in range(SEEDS):
        order = case_order(CODES, seed=session_seed(seed, "P2", 1))
        positions[seed] = [order.index(code) for code in CODES]
    means = positions.reshape(SEEDS, 4, 16).mean(axis=(0, 2))
    assert np.abs(means - 31.5).max() < 3 * 18.5 / np.sqrt(SEEDS * 16)


def test_seeds_of_readers_and_sessions_differ_and_fit_the_column() -> None:
    seeds = [session_seed(7, f"P{reader}", number) for reader in range(1, 41) for number in range(1, 7)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed <= SEED_MAX for seed in seeds)
    orders = [tuple(case_order(CODES, seed=seed)) for seed in seeds[:12]]
    assert all(a != b for a, b in combinations(orders, 2))


def test_fields_are_shuffled_per_session_and_chosen_per_study() -> None:
    contents = [f"{n:064x}" for n in range(12)]
    chosen = fixed_images(contents, k=5, order_seed=3, case="00001")
    assert len(chosen) == 5
    assert chosen == sorted(chosen) == fixed_images(contents, k=5, order_seed=3, case="00001")
    assert chosen != fixed_images(contents, k=5, order_seed=4, case="00001")
    first = image_order(contents, seed=1, case="00001", chosen=chosen)
    second = image_order(contents, seed=2, case="00001", chosen=chosen)
    assert sorted(first) == sorted(second) == chosen
    assert first != second
    assert fixed_images(contents, k=20, order_seed=3, case="00001") == list(range(12))
    assert sorted(image_order(contents, seed=1, case="00001")) == list(range(12))


def test_the_same_picture_twice_in_a_case_is_shown_twice() -> None:
    assert sorted(image_order(["a" * 64, "a" * 64], seed=1, case="1")) == [0, 1]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        case_order(["1", "1"], seed=1)
    with pytest.raises(ValueError, match="at least 1"):
        fixed_images(["a", "b"], k=0, order_seed=1, case="1")
