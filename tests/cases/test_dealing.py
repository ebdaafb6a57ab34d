"""Dealing images to sorters."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.dealing import deal, shuffled

IDS = [f"image-{n}" for n in range(120)]


def test_everybody_gets_everything_in_an_order_of_their_own() -> None:
    first, second = deal(IDS, [1, 2], assignment="all")
    assert sorted(first) == sorted(second) == sorted(IDS)
    assert first != second
    assert first == deal(list(reversed(IDS)), [1, 2], assignment="all")[0]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 150), people=st.integers(1, 6), percent=st.integers(0, 100), seed=st.integers(0, 2**32))
def test_overlap_deals_the_asked_share_twice_and_never_twice_to_one(
    n: int, people: int, percent: int, seed: int
) -> None:
    ids = IDS[:n] if n <= len(IDS) else [*IDS, *(f"more-{i}" for i in range(n - len(IDS)))]
    hands = deal(ids, list(range(people)), assignment="overlap", overlap_percent=percent, seed=seed)
    times = Counter(chain.from_iterable(hands))
    assert set(times) == set(ids)
    assert all(len(set(hand)) == len(hand) for hand in hands)
    twice = round(len(ids) * percent / 100) if people > 1 else 0
    assert Counter(times.values()) == Counter({1: len(ids) - twice, 2: twice}) - Counter({2: 0})
    assert max(map(len, hands)) - min(map(len, hands)) < max(people, 2)


def test_all_pairs_of_sorters_meet() -> None:
    hands = [set(hand) for hand in deal(IDS, [1, 2, 3, 4], assignment="overlap", overlap_percent=50, seed=3)]
    assert all(hands[a] & hands[b] for a in range(4) for b in range(a))


def test_a_split_is_even_and_complete() -> None:
    hands = deal(IDS, [5, 6, 7], assignment="split", seed=9)
    assert [len(hand) for hand in hands] == [40, 40, 40]
    assert sorted(chain.from_iterable(hands)) == sorted(IDS)


def test_the_order_says_nothing_about_the_order_of_arrival() -> None:
    """Rank correlation with the order of arrival over many seeds is near 0."""
    n = len(IDS)
    correlations = []
    for seed in range(60):
        ranks = {image: rank for rank, image in enumerate(shuffled(IDS, seed))}
        squares = sum((ranks[image] - index) ** 2 for index, image in enumerate(IDS))
        correlations.append(1 - 6 * squares / (n * (n * n - 1)))
    assert abs(sum(correlations) / len(correlations)) < 0.05


def test_nobody_to_deal_to_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="to 0 sorters"):
        deal(IDS, [], assignment="all")
