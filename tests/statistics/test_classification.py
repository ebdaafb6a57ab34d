"""Confusion matrices, metrics, intervals: undefined cases, policies and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leukoweb.statistics import bootstrap, classification, intervals
from leukoweb.statistics.confusion import collapse, confusion_matrix, encode, pairwise_tables
from leukoweb.statistics.results import Estimate, StatisticsError, to_json_value

ABSENT = [[1, 1, 0], [0, 2, 0], [0, 0, 0]]  # class 2: no true case, never predicted
CLASSES = ("ALL", "AML", "NO_LEUKEMIA")


def test_a_class_without_true_case_and_prediction_is_undefined_in_everything() -> None:
    for name, values in classification.class_metrics(ABSENT).items():
        assert math.isnan(values[2]), name
    assert classification.class_metrics(ABSENT, absent="formula")["specificity"][2] == 1


def test_macro_says_how_many_classes_entered() -> None:
    sensitivity = classification.class_metrics(ABSENT)["sensitivity"]
    assert classification.macro_average(sensitivity) == (0.75, 2)
    assert classification.macro_average(sensitivity, zero_division="zero") == (0.5, 3)
    assert classification.macro_average(sensitivity, zero_division="one").value == pytest.approx(2.5 / 3)
    with pytest.raises(StatisticsError, match="confusion matrix"):
        classification.macro_average(sensitivity, among="seen")


def test_a_class_with_cases_but_no_prediction_has_sensitivity_0_and_no_ppv() -> None:
    metrics = classification.class_metrics([[3, 0], [2, 0]])
    assert metrics["sensitivity"][1] == 0
    assert math.isnan(metrics["ppv"][1])
    assert metrics["f1"][1] == 0


def test_matthews_is_undefined_when_one_side_is_constant() -> None:
    assert math.isnan(float(classification.matthews([[3, 0], [2, 0]])))
    assert float(classification.matthews([[3, 0], [2, 0]], undefined=0.0)) == 0


def test_a_stack_of_tables_equals_its_tables() -> None:
    tables = np.random.default_rng(0).integers(0, 5, (7, 2, 4, 4))
    stacked = classification.class_metrics(tables)
    for i in range(7):
        for name, values in classification.class_metrics(tables[i, 1]).items():
            assert np.allclose(stacked[name][i, 1], values, equal_nan=True)


@pytest.mark.parametrize("table", [[[1, 2]], [[1]], [[1, -1], [0, 2]], [[1, np.nan], [0, 2]]])
def test_what_is_no_confusion_matrix_is_refused(table: object) -> None:
    with pytest.raises(StatisticsError):
        classification.class_metrics(np.asarray(table))


def test_labels_become_codes_and_empty_cells_missing_reads() -> None:
    assert encode(["AML", None, " ", "ALL "], CLASSES).tolist() == [1, -1, -1, 0]


def test_an_unknown_label_is_named_with_its_row_and_column() -> None:
    with pytest.raises(StatisticsError, match=r"Data row 2 of column P1 holds 'aml'") as error:
        encode(["AML", "aml"], CLASSES, column="P1")
    assert error.value.code == "E_UNKNOWN_LABEL"
    assert error.value.hint


@pytest.mark.parametrize("classes", [("A",), ("A", "A"), ("A", " ")])
def test_bad_class_lists_are_refused(classes: tuple[str, ...]) -> None:
    with pytest.raises(StatisticsError):
        encode(["A"], classes)


def test_a_missing_read_is_in_no_cell() -> None:
    assert confusion_matrix([0, 1, -1, 1], [0, -1, 1, 1], 2).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(StatisticsError, match=r"-1\.\.1"):
        confusion_matrix([2], [0], 2)
    with pytest.raises(StatisticsError, match="integers"):
        confusion_matrix([0.5], [0], 2)


def test_collapse_keeps_the_counts() -> None:
    table = np.array([[5, 1, 2], [0, 4, 1], [3, 0, 9]])
    assert collapse(table, [0, 1]).tolist() == [[10, 3], [3, 9]]
    for positive in ([], [0, 1, 2], [3]):
        with pytest.raises(StatisticsError):
            collapse(table, positive)


def test_which_proportion_interval_is_shown() -> None:
    assert intervals.proportion(20, 29).method == "clopper-pearson"
    assert intervals.proportion(20, 30).method == "wilson"
    full = intervals.proportion(30, 30)
    assert (full.method, full.high) == ("clopper-pearson", 1.0)
    assert intervals.proportion(0, 50).low == 0.0
    assert intervals.proportion(0, 0).as_dict()["estimate"] is None
    with pytest.raises(StatisticsError):
        intervals.wilson(5, 4)
    with pytest.raises(StatisticsError):
        intervals.wilson(1, 4, level=1.0)


def test_f1_limits_follow_from_the_jaccard_fraction() -> None:
    low, high, method = intervals.f1_interval(40, 6, 4)
    jaccard = intervals.proportion(40, 50)
    assert (low, high) == pytest.approx((2 * jaccard.low / (1 + jaccard.low), 2 * jaccard.high / (1 + jaccard.high)))
    assert method == "wilson-jaccard"
    assert math.isnan(intervals.f1_interval(0, 0, 0)[0])


def test_delta_errors_agree_with_the_jackknife() -> None:
    table = np.array([[70, 10, 3], [8, 50, 6], [2, 9, 90]])
    n = table.sum()
    deltas = intervals.delta_standard_errors(table)

    def values(counts: np.ndarray) -> dict[str, float]:
        metrics = classification.class_metrics(counts)
        return {f"macro_{name}": float(v.mean()) for name, v in metrics.items()} | {
            "accuracy": float(classification.accuracy(counts))
        }

    cells = [(i, j) for i in range(3) for j in range(3)]
    without = [values(table - np.eye(3)[i][:, None] * np.eye(3)[j]) for i, j in cells]
    counts = np.array([table[cell] for cell in cells])
    for name, delta in deltas.items():
        each = np.array([w[name] for w in without])
        mean = (counts * each).sum() / n
        jackknife = math.sqrt((n - 1) / n * (counts * (each - mean) ** 2).sum())
        assert delta == pytest.approx(jackknife, rel=0.02), name


def test_the_mean_of_independent_estimates() -> None:
    one, other = intervals.proportion(3, 3), intervals.proportion(20, 40)
    mean = intervals.mean_of_independent([one, other, Estimate.undefined(0, "")], n=43)
    assert mean.estimate == 0.75
    assert mean.low == pytest.approx(0.75 - math.hypot(1 - one.low, 0.5 - other.low) / 2)
    assert mean.high == pytest.approx(0.75 + (other.high - 0.5) / 2)
    assert not intervals.mean_of_independent([Estimate.undefined(0, "")], n=0).defined


def test_no_case_has_no_delta_error() -> None:
    assert all(math.isnan(se) for se in intervals.delta_standard_errors(np.zeros((2, 2))).values())


def test_an_estimate_without_spread_has_no_interval() -> None:
    assert not intervals.wald(0.9, 0.0, n=10, method="delta").has_interval
    assert intervals.wald(0.9, 0.2, n=10, method="delta").note.startswith("limit beyond 1")


def replicates(values: object, estimate: float, without: object) -> bootstrap.Replicates:
    drawn, left = np.asarray(values, dtype=float)[:, None], np.asarray(without, dtype=float)[:, None]
    return bootstrap.Replicates(np.array([estimate]), drawn, left, np.zeros(len(left), dtype=np.int64))


def test_bootstrap_fallbacks_are_stated() -> None:
    spread = np.linspace(0, 1, 101)
    constant = bootstrap.bootstrap_interval(replicates(np.ones(50), 1.0, np.ones(9)), 0)
    assert (constant.method, constant.note) == ("none", "not estimable: the same in all resamples")
    flat = bootstrap.bootstrap_interval(replicates(spread, 0.5, np.ones(9)), 0)
    assert flat.method == "bootstrap-percentile"
    assert "jackknife" in flat.note
    aside = bootstrap.bootstrap_interval(replicates(spread, 2.0, [1, 2, 4]), 0)
    assert (aside.method, "one side" in aside.note) == ("bootstrap-percentile", True)
    holes = spread.copy()
    holes[:3] = np.nan
    some = bootstrap.bootstrap_interval(replicates(holes, 0.5, [1, 2, 4]), 0)
    assert (some.method, some.note) == ("bootstrap-bca", "3 of 101 resamples undefined and left out")
    holes[:10] = np.nan
    assert "not estimable: undefined in 10" in bootstrap.bootstrap_interval(replicates(holes, 0.5, [1, 2, 4]), 0).note
    assert bootstrap.bootstrap_interval(replicates(spread, np.nan, [1, 2, 4]), 0).method == "none"


def test_a_cluster_in_two_strata_cannot_be_drawn() -> None:
    with pytest.raises(StatisticsError, match="two strata"):
        bootstrap.make_scheme(4, strata=[0, 0, 1, 1], clusters=[0, 1, 1, 2])
    scheme = bootstrap.make_scheme(4, strata=[0, 0, 0, 1], clusters=["x", "y", "y", "z"])
    assert (scheme.n_units, scheme.clustered) == (3, True)
    weights = np.concatenate(list(bootstrap.resample_weights(scheme, 20, 1)))
    assert np.array_equal(weights[:, 1], weights[:, 2])
    assert np.all(weights[:, 3] == 1)


@pytest.mark.parametrize("resamples", [0, bootstrap.MAX_RESAMPLES + 1])
def test_numbers_of_resamples_have_limits(resamples: int) -> None:
    with pytest.raises(StatisticsError, match="resamples"):
        next(bootstrap.resample_weights(bootstrap.make_scheme(3), resamples, 1))


def test_json_has_null_for_what_is_undefined() -> None:
    undefined = Estimate(float("nan"), 0.1, float("inf"), "wilson", 3).as_dict()
    assert (undefined["estimate"], undefined["high"]) == (None, None)
    assert to_json_value({"a": np.float64("nan"), "b": np.array([1, 2]), "c": (np.bool_(True), None)}) == {
        "a": None,
        "b": [1, 2],
        "c": [True, None],
    }
    with pytest.raises(TypeError, match="no JSON form"):
        to_json_value(object())


@pytest.mark.parametrize("n_cases", [0, 1, 63, 64, 65, 300])
def test_tables_of_all_pairs_equal_the_tables_of_each(n_cases: int) -> None:
    ratings = np.random.default_rng(n_cases).integers(-1, 3, (n_cases, 4))
    tables = pairwise_tables(ratings, 3)
    for a in range(4):
        for b in range(4):
            assert tables[a, b].tolist() == confusion_matrix(ratings[:, a], ratings[:, b], 3).tolist()
