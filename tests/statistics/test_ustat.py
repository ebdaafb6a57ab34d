"""U-statistics: brute force over pairs, unbiasedness, missing reads."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoweb.statistics.results import StatisticsError
from leukoweb.statistics.ustatistics import u_statistic


def brute_force(a: np.ndarray, b: np.ndarray) -> float:
    """Covariance of two means: every pair of reads, weighted by its kind, straight from the definition."""
    reads_a = [(i, j) for i, j in np.ndindex(*a.shape) if not math.isnan(a[i, j])]
    reads_b = [(i, j) for i, j in np.ndindex(*b.shape) if not math.isnan(b[i, j])]
    total = sum(a[x] * b[y] for x, y in itertools.product(reads_a, reads_b))
    unrelated = [a[x] * b[y] for x, y in itertools.product(reads_a, reads_b) if x[0] != y[0] and x[1] != y[1]]
    return float(total / len(reads_a) / len(reads_b) - np.mean(unrelated))


TABLES = st.lists(st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=3, max_size=3), min_size=4, max_size=7)


@given(TABLES)
@settings(max_examples=60, deadline=None)
def test_ustat_equals_all_pairs(rows: list[list[float]]) -> None:
    table = np.array(rows)
    table[:2, :2] = [[1.0, 0.0], [1.0, 1.0]]
    assert u_statistic(table).variance == pytest.approx(brute_force(table, table), abs=1e-12)
    other = np.where(np.isnan(table), np.nan, 1 - table)
    expected = sum(brute_force(x, x) for x in (table, other)) - 2 * brute_force(table, other)
    assert u_statistic(table, other).variance == pytest.approx(expected, abs=1e-12)


def test_ustat_variance_is_unbiased_also_with_missing_reads() -> None:
    """Over 4,000 studies with a third of the reads missing: mean estimated variance = spread of the estimates."""
    rng = np.random.default_rng(8)
    ease, skill = rng.normal(0, 1, (4000, 15, 1)), rng.normal(0.8, 0.5, (4000, 1, 5))
    correct = (ease + skill + rng.normal(size=(4000, 15, 5)) > 0).astype(float)
    correct[:, rng.random((15, 5)) < 1 / 3] = np.nan
    results = [u_statistic(table) for table in correct]
    spread = np.var([result.estimate for result in results])
    assert np.mean([result.variance for result in results]) == pytest.approx(spread, rel=0.06)


def test_ustat_same_tables_differ_by_nothing() -> None:
    table = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    result = u_statistic(table, table)
    assert result.estimate == 0
    assert result.variance == pytest.approx(0)
    assert math.isnan(result.se) or result.se < 1e-8


def test_ustat_counts_reads() -> None:
    result = u_statistic([[1, math.nan], [0, 1], [math.nan, math.nan]])
    assert (result.n_cases, result.n_readers, result.n_reads) == (2, 2, (3,))


def test_ustat_undefined_without_two_readers() -> None:
    result = u_statistic([[1.0], [0.0], [1.0]])
    assert result.estimate == pytest.approx(2 / 3)
    assert math.isnan(result.variance)
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["se"] is None


def test_ustat_refuses_unequal_shapes() -> None:
    with pytest.raises(StatisticsError, match="alike"):
        u_statistic([[1.0, 0.0]], [[1.0]])
