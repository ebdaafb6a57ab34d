"""Properties that hold for any table."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoweb.statistics import agreement, bootstrap, classification, intervals, krippendorff, multirater, paired
from leukoweb.statistics.confusion import confusion_matrix, pair_cells
from leukoweb.statistics.ratings import RatingsPlan, analyse_ratings

CODES = st.integers(-1, 3)
QUICK = settings(max_examples=60, deadline=None)


def ratings_of(raters: int, least: int = 2) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.lists(CODES, min_size=raters, max_size=raters), min_size=least, max_size=30).map(np.array)


def close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


@QUICK
@given(ratings_of(2))
def test_kappa_is_symmetric_in_the_raters(ratings: np.ndarray) -> None:
    table = confusion_matrix(ratings[:, 0], ratings[:, 1], 4)
    for weights in (None, agreement.linear_weights(4), agreement.quadratic_weights(4)):
        one, other = agreement.kappa_arrays(table, weights), agreement.kappa_arrays(table.T, weights)
        assert close(float(one.kappa), float(other.kappa))
        assert close(float(one.se), float(other.se))
        assert close(float(one.se_null), float(other.se_null))


@QUICK
@given(ratings_of(3), st.permutations(range(4)))
def test_renaming_the_classes_changes_no_unweighted_value(ratings: np.ndarray, order: list[int]) -> None:
    renamed = np.where(ratings < 0, -1, np.array(order)[ratings])
    coefficients = (
        multirater.percent_agreement,
        multirater.fleiss_kappa,
        multirater.fleiss_kappa_missing,
        multirater.conger_kappa_missing,
        multirater.gwet_ac,
        multirater.brennan_prediger,
        multirater.light_kappa_linearised,
        krippendorff.krippendorff_linearised,
    )
    for function in coefficients:
        before, after = function(ratings, 4), function(renamed, 4)
        assert close(before.value, after.value), function.__name__
        assert close(before.se(), after.se()), function.__name__
    table, moved = (confusion_matrix(codes[:, 0], codes[:, 1], 4) for codes in (ratings, renamed))
    assert close(float(classification.accuracy(table)), float(classification.accuracy(moved)))
    assert close(float(classification.matthews(table)), float(classification.matthews(moved)))
    for name, values in classification.class_metrics(table).items():
        there = classification.class_metrics(moved)[name]
        assert np.allclose(values, there[order], equal_nan=True)
        macro = [float(classification.macro_average(v).value) for v in (values, there)]
        assert close(*macro)
    for test in (paired.stuart_maxwell, paired.bowker):
        assert close(test(table).statistic, test(moved).statistic)


@QUICK
@given(ratings_of(3), st.permutations(range(3)))
def test_the_order_of_raters_and_cases_does_not_matter(ratings: np.ndarray, order: list[int]) -> None:
    shuffled = ratings[::-1][:, order]
    for function in (multirater.fleiss_kappa, multirater.conger_kappa_missing, multirater.gwet_ac):
        assert close(function(ratings, 4).value, function(shuffled, 4).value)
    for metric in ("nominal", "ordinal", "interval"):
        values = [krippendorff.krippendorff_alpha(codes, 4, metric) for codes in (ratings, shuffled)]
        assert close(*values)


@QUICK
@given(ratings_of(2))
def test_two_raters_by_different_routes(ratings: np.ndarray) -> None:
    """Conger and Light of two raters are Cohen's kappa; interval alpha equals quadratic-weight alpha."""
    complete = ratings[np.all(ratings >= 0, axis=1)]
    if not len(complete):
        return
    kappa = float(agreement.kappa_values(confusion_matrix(complete[:, 0], complete[:, 1], 4)))
    assert close(multirater.conger_kappa(ratings, 4).value, kappa)
    assert close(multirater.light_kappa(ratings, 4), kappa)
    alpha = krippendorff.krippendorff_alpha(ratings, 4, "interval")
    assert close(krippendorff.krippendorff_linearised(ratings, 4, agreement.quadratic_weights(4)).value, alpha)
    nominal = krippendorff.krippendorff_alpha(ratings, 4)
    assert close(krippendorff.krippendorff_linearised(ratings, 4).value, nominal)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=6, max_size=40), st.integers(2, 4))
def test_copied_rows_narrow_naive_intervals_but_not_clustered_ones(rows: list[tuple[int, int]], copies: int) -> None:
    """A patient's row entered several times is no new information."""
    truth, given_ = np.array(rows).T
    patients = np.arange(len(rows))
    hits, ones = truth == given_, np.ones(len(rows), dtype=bool)
    repeated = np.repeat(hits, copies)
    naive = [np.diff(intervals.wilson(h.sum(), h.size))[0] for h in (hits, repeated)]
    assert naive[1] < naive[0]
    clustered = [
        intervals.clustered_proportion(hits, ones, patients),
        intervals.clustered_proportion(repeated, np.repeat(ones, copies), np.repeat(patients, copies)),
    ]
    widths = [estimate.high - estimate.low for estimate in clustered]
    assert math.isclose(widths[0], widths[1], rel_tol=1e-9)


def test_copied_rows_narrow_no_interval_of_the_whole_table() -> None:
    """The same for every number of a report, closed forms and bootstrap."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 40)
    reads = {f"r{i}": np.where(rng.random(40) < 0.75, truth, rng.integers(0, 3, 40)) for i in range(3)}
    label = np.array(["a", "b", "c"])
    columns = {name: label[codes].tolist() for name, codes in ({"truth": truth} | reads).items()}
    columns["patient"] = [f"{i:02d}" for i in range(40)]  # sorted as the rows: the same draws
    copied = {name: [value for value in values for _ in range(3)] for name, values in columns.items()}
    for resamples in (0, 300):
        options = {
            "raters": ("r1", "r2"),
            "classes": ("a", "b", "c"),
            "reference": "truth",
            "ai": "r0",
        }
        once, naive, aware = (
            analyse_ratings(table, RatingsPlan(**options, positive=("a",), case=case, bootstrap=resamples))  # type: ignore[arg-type]
            for table, case in ((columns, "patient"), (copied, None), (copied, "patient"))
        )

        def width(report: dict[str, object], *path: str | int) -> float:
            item: object = report
            for key in path:
                item = item[key]  # type: ignore[index]
            # AI against readers: for these readers, since the spread of two readers rules the random-reader interval
            before = "fixed_" if path[0] == "ai_vs_readers" else ""
            return item[f"{before}high"] - item[f"{before}low"]  # type: ignore[index]

        paths: tuple[tuple[str | int, ...], ...] = (
            ("evaluators", "r1", "accuracy"),
            ("evaluators", "r1", "macro_f1"),
            ("evaluators", "r1", "per_class", "a", "sensitivity"),
            ("evaluators", "r1", "per_class", "a", "f1"),
            ("evaluators", "r1", "binary", "ppv"),
            ("evaluators", "r1", "kappa_with_reference"),
            ("pairwise", 0, "kappa"),
            ("pairwise", 0, "percent_agreement"),
            ("multi_rater", "fleiss_kappa"),
            ("multi_rater", "light_kappa"),
            ("multi_rater", "krippendorff_alpha_ordinal"),
            ("ai_vs_readers", "macro_sensitivity"),
        )
        for path in paths:
            assert width(naive, *path) < 0.85 * width(once, *path), (path, "naive")
            assert width(aware, *path) > 0.95 * width(once, *path), (path, "clustered")


@QUICK
@given(st.integers(0, 40), st.integers(1, 40))
def test_proportion_intervals_hold_the_estimate_and_stay_inside_0_and_1(x: int, n: int) -> None:
    x = min(x, n)
    for low, high in (intervals.wilson(x, n), intervals.clopper_pearson(x, n)):
        assert 0 <= low <= x / n <= high <= 1
    wide, narrow = intervals.clopper_pearson(x, n, 0.99), intervals.clopper_pearson(x, n, 0.9)
    assert wide[0] <= narrow[0]
    assert narrow[1] <= wide[1]


@QUICK
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_only_raises_p_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = paired.holm(p_values)
    assert np.all(adjusted >= np.array(p_values) - 1e-15)
    assert np.all(adjusted <= 1)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(adjusted[order]) >= -1e-15)


@QUICK
@given(st.integers(2, 30), st.integers(1, 200), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_resamples_keep_the_strata_and_do_not_depend_on_the_chunk(n: int, rows: int, seed: int, groups: int) -> None:
    strata = np.arange(n) % groups
    scheme = bootstrap.make_scheme(n, strata=strata)
    whole = np.concatenate(list(bootstrap.resample_weights(scheme, rows, seed)))
    small = np.concatenate(list(bootstrap.resample_weights(scheme, rows, seed, row_bytes=bootstrap.CHUNK_BYTES // 3)))
    assert np.array_equal(whole, small)
    for group in range(min(groups, n)):
        assert np.all(whole[:, strata == group].sum(1) == (strata == group).sum())


@QUICK
@given(ratings_of(2, least=3), st.integers(0, 1000))
def test_resampled_tables_equal_counting_the_drawn_rows(ratings: np.ndarray, seed: int) -> None:
    n = len(ratings)
    drawn = np.random.default_rng(seed).integers(0, n, (5, n))
    cells = pair_cells(ratings[:, :1], ratings[:, 1:], 4)
    tables = bootstrap.weighted_tables(cells, bootstrap.weights_from_indices(drawn, n), 4)[:, 0]
    for rows, table in zip(drawn, tables, strict=True):
        assert np.array_equal(table, confusion_matrix(ratings[rows, 0], ratings[rows, 1], 4))
    without = bootstrap.jackknife_tables(cells, bootstrap.make_scheme(n), 4)[:, 0]
    for left_out in range(n):
        rest = np.delete(ratings, left_out, axis=0)
        assert np.array_equal(without[left_out], confusion_matrix(rest[:, 0], rest[:, 1], 4))


@QUICK
@given(ratings_of(2))
def test_standard_errors_are_the_spread_of_the_influences(ratings: np.ndarray) -> None:
    """Two routes: the closed formula of kappa, and the influence of each case."""
    table = confusion_matrix(ratings[:, 0], ratings[:, 1], 4)
    found = agreement.kappa_arrays(table)
    if not np.isfinite(found.kappa):
        return
    influence = agreement.kappa_influence(table)
    n = table.sum()
    assert abs(float((table * influence).sum())) < 1e-7 * n
    assert math.isclose(float(np.sqrt((table * influence**2).sum())) / n, float(found.se), abs_tol=1e-7)
