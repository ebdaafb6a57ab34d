"""MRMC analysis: behaviour that no golden file shows, the table reader and the command."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoweb.statistics.covariance import jackknife_covariance, proportion_covariance
from leukoweb.statistics.mrmc import (
    ai_versus_readers,
    ai_versus_readers_auc,
    analyse_auc,
    analyse_proportion,
    analysis_as_dict,
    obuchowski_rockette,
)
from leukoweb.statistics.mrmc_report import mrmc_report
from leukoweb.statistics.mrmc_table import parse_mrmc
from leukoweb.statistics.results import StatisticsError
from tests.statistics.golden import golden_file


def study(seed: int = 0, t: int = 2, r: int = 4, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    case = rng.normal(size=n)
    scores = truth * 1.2 + case + rng.normal(0, 0.3, (t, r, 1)) * truth + rng.normal(0, 0.7, (t, r, n))
    return truth, np.round(scores, 1)


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_mrmc_order_of_modalities_readers_and_cases(seed: int) -> None:
    """Swapping modalities turns the sign; the order of readers and cases changes nothing."""
    truth, scores = study(seed)
    rng = np.random.default_rng(seed)
    plain = analyse_auc(truth, scores).random
    swapped = analyse_auc(truth, scores[::-1]).random
    cases = rng.permutation(len(truth))
    mixed = analyse_auc(truth[cases], scores[:, rng.permutation(scores.shape[1])][:, :, cases]).random
    assert swapped.differences[0].estimate == pytest.approx(-plain.differences[0].estimate)
    assert swapped.p == pytest.approx(plain.p)
    for name in ("F", "df", "p"):
        assert getattr(mixed, name) == pytest.approx(getattr(plain, name))


def test_mrmc_monotone_scores_change_nothing() -> None:
    truth, scores = study()
    plain, warped = (analyse_auc(truth, values).random.p for values in (scores, np.exp(scores)))
    assert warped == pytest.approx(plain)


def test_mrmc_f_is_t_squared_with_two_modalities() -> None:
    truth, scores = study()
    for test in (lambda a: a.random, lambda a: a.fixed_readers, lambda a: a.fixed_cases):
        found = test(analyse_auc(truth, scores))
        squared = found.differences[0].statistic ** 2
        assert squared == pytest.approx(found.F)
        assert found.p == pytest.approx(found.differences[0].p)


def test_mrmc_duplicated_cases_narrow_plain_and_not_clustered_intervals() -> None:
    truth, scores = study()
    twice, labels = np.tile(truth, 2), np.tile(np.arange(len(truth)), 2)
    doubled = np.concatenate([scores, scores], axis=2)
    plain = analyse_auc(truth, scores).components
    naive = analyse_auc(twice, doubled).components
    clustered = analyse_auc(twice, doubled, clusters=labels).components
    assert naive.var_error == pytest.approx(plain.var_error / 2, rel=0.05)
    assert clustered.var_error == pytest.approx(plain.var_error, rel=0.05)
    correct = (scores > 0.5) == truth
    one = ai_versus_readers(correct[0, 0], correct[0, 1:].T)
    two = ai_versus_readers(*(np.tile(x, (2,) + (1,) * (x.ndim - 1)) for x in (correct[0, 0], correct[0, 1:].T)))
    kept = ai_versus_readers(np.tile(correct[0, 0], 2), np.tile(correct[0, 1:].T, (2, 1)), clusters=labels)
    assert two.fixed_se < 0.75 * one.fixed_se
    assert kept.fixed_se == pytest.approx(one.fixed_se)
    assert kept.se == pytest.approx(one.se)


def test_mrmc_one_cluster_per_case_is_the_plain_covariance() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((30, 3))
    assert proportion_covariance(values, np.arange(30)) == pytest.approx(proportion_covariance(values))
    truth, scores = study()
    each = np.arange(len(truth))
    clustered = analyse_auc(truth, scores, clusters=each).covariance
    plain = analyse_auc(truth, scores, covariance="delong").covariance
    assert clustered == pytest.approx(plain, rel=1e-9, abs=1e-12)


def test_mrmc_jackknife_of_a_mean_is_its_covariance() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((20, 3))
    without = (values.sum(axis=0) - values) / 19
    assert jackknife_covariance(without) == pytest.approx(proportion_covariance(values))


def test_mrmc_one_reader_has_only_the_fixed_design() -> None:
    truth, scores = study(r=1)
    found = analyse_auc(truth, scores)
    assert math.isnan(found.random.F)
    assert math.isnan(found.fixed_cases.p)
    assert 0 < found.fixed_readers.p < 1
    json.dumps(analysis_as_dict(found), allow_nan=False)


def test_mrmc_one_modality_has_means_and_no_test() -> None:
    truth, scores = study(t=1)
    found = analyse_auc(truth, scores)
    assert found.random.differences == ()
    assert math.isnan(found.random.p)
    assert found.random.modalities[0].low < found.random.modalities[0].estimate
    assert analysis_as_dict(found)["difference"] is None


def test_mrmc_three_modalities_have_three_differences() -> None:
    truth, scores = study(t=3)
    found = analyse_auc(truth, scores, modalities=["a", "b", "c"])
    assert [(d.first, d.second) for d in found.random.differences] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.random.df1 == 2


def test_mrmc_everybody_perfect_has_no_interval() -> None:
    found = analyse_proportion(np.ones((2, 3, 10)))
    assert [mean.estimate for mean in found.random.modalities] == [1.0, 1.0]
    assert math.isnan(found.random.modalities[0].low)
    assert math.isnan(found.random.F)
    result = ai_versus_readers(np.ones(10), np.ones((10, 3)), 0.05)
    assert result.se == 0
    assert result.non_inferior is None
    assert "no interval" in result.note


def test_mrmc_clear_difference_without_reader_spread_is_infinite_df() -> None:
    rng = np.random.default_rng(4)
    reader = (rng.random(50) < 0.8).astype(float)
    result = ai_versus_readers(np.ones(50), np.column_stack([reader] * 3), 0.05)
    assert result.ms_reader == 0
    assert math.isinf(result.df)
    assert result.as_dict()["df"] is None
    assert result.se == pytest.approx(result.fixed_se)


def test_mrmc_negative_cov2_is_clamped() -> None:
    ai = np.ones(12)
    readers = np.column_stack([np.r_[np.zeros(4), np.ones(8)], np.r_[np.ones(4), np.zeros(4), np.ones(4)]])
    result = ai_versus_readers(ai, readers)
    assert result.cov2 < 0
    assert result.se == pytest.approx(math.sqrt(result.ms_reader / 2), abs=1e-12)


def test_mrmc_ai_margin_is_strict_and_directed() -> None:
    rng = np.random.default_rng(0)
    readers = (rng.random((200, 3)) < 0.8).astype(float)
    ai = (rng.random(200) < 0.85).astype(float)
    result = ai_versus_readers(ai, readers)
    inside = ai_versus_readers(ai, readers, -result.low + 1e-6 if result.low < 0 else 0.01)
    outside = ai_versus_readers(ai, readers, max(-result.low - 1e-6, 1e-9)) if result.low < 0 else None
    assert inside.non_inferior is True
    assert inside.p_non_inferior < 0.025
    if outside is not None:
        assert outside.non_inferior is False


def test_mrmc_missing_reads_drop_the_case_and_are_counted() -> None:
    readers = np.array([[1, 1], [0, np.nan], [1, 0], [1, 1]])
    result = ai_versus_readers([1, 1, 1, 0], readers)
    assert (result.n, result.n_dropped) == (3, 1)
    assert result.readers == (1.0, pytest.approx(2 / 3))


def test_mrmc_one_reader_against_the_ai_speaks_for_that_reader() -> None:
    rng = np.random.default_rng(0)
    result = ai_versus_readers((rng.random(40) < 0.9).astype(float), (rng.random((40, 1)) < 0.8).astype(float), 0.3)
    assert result.method == "fixed-reader"
    assert "this reader only" in result.note
    assert result.low == pytest.approx(result.fixed_low)


def test_mrmc_ai_auc_agrees_with_the_fixed_reader_z_test() -> None:
    truth, scores = study()
    result = ai_versus_readers_auc(truth, scores[0, 0], scores[0, 1:].T)
    assert result.difference == pytest.approx(result.ai - np.mean(result.readers))
    assert result.fixed_low < result.difference < result.fixed_high


def test_mrmc_random_interval_narrower_than_fixed_is_pointed_out() -> None:
    theta = np.array([[0.8, 0.8, 0.8], [0.75, 0.75, 0.7500001]])
    covariance = np.full((6, 6), 0.0002) + 0.001 * np.eye(6)
    found = obuchowski_rockette(theta, covariance)
    assert found.random.differences[0].se < found.fixed_readers.differences[0].se
    assert "wider interval" in analysis_as_dict(found)["note"]


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_mrmc_margin_must_be_positive(margin: float) -> None:
    with pytest.raises(StatisticsError, match="margin"):
        ai_versus_readers([1, 0], [[1, 0], [0, 1]], margin)


def test_mrmc_coverage_of_the_ai_interval() -> None:
    """Random readers and cases drawn 600 times: the 95 % interval holds the true difference about as often."""
    rng, hits, draws = np.random.default_rng(21), 0, 600
    for _ in range(draws):
        ease = rng.normal(0, 0.7, 80)
        skill = rng.normal(1.2, 0.4, 5)
        readers = (ease[:, None] + skill + rng.normal(size=(80, 5)) > 0).astype(float)
        ai = (ease + 1.2 + rng.normal(size=80) > 0).astype(float)
        result = ai_versus_readers(ai, readers)
        # P(ease + skill + noise > 0): normal with the variances of all parts that are random for each.
        truth = float(0.5 * math.erfc(-1.2 / math.sqrt(2 * 1.49)) - 0.5 * math.erfc(-1.2 / math.sqrt(2 * 1.65)))
        hits += result.low < truth < result.high
    assert 0.92 <= hits / draws <= 0.98


TABLE = "case,truth,t1_r1,t2_r1,t1_r2,t2_r2\n" + "".join(
    f"c{i},{i % 2},{i % 5 + i % 2},{(i * 7) % 5 + i % 2},{(i * 3) % 6 + i % 2},{(i * 5) % 7 + i % 2}\n"
    for i in range(40)
)


def test_mrmc_table_reads_names_with_underscores_and_other_separators() -> None:
    table = parse_mrmc(TABLE.replace("t1_", "with_ai_").replace(",", ";").splitlines())
    assert table.modalities == ("with_ai", "t2")
    assert table.readers == ("r1", "r2")
    assert table.scores.shape == (2, 2, 40)
    assert int(table.truth.sum()) == 20


def test_mrmc_table_truth_by_name() -> None:
    lines = ["case,truth,t1_r1,t2_r1", "a,ill,1,2", "b,well,1,1"]
    assert parse_mrmc(lines, truth_positive="ill").truth.tolist() == [True, False]
    assert parse_mrmc(["case,truth,a_b", "x,1.0,2"]).truth.tolist() == [True]


def test_mrmc_table_missing_scores_leave_the_case_out() -> None:
    lines = TABLE.splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ","
    whole, dropped = parse_mrmc(lines).complete()
    assert dropped == 1
    assert whole.scores.shape[2] == 39
    assert "c2" not in whole.cases


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "empty"),
        (["case,truth"], "no column of scores"),
        (["case,truth,CAD", "1,0,3"], "CAD"),
        (["case,truth,t1_r1,t2_r1,t1_r2", "1,0,1,1,1"], "t2_r2"),
        (["case,truth,t1_r1"], "no case"),
        (["case,truth,t1_r1", "1,0,x"], "not a number"),
        (["case,truth,t1_r1", "1,0,nan"], "'nan' is not a number"),
        (["case,truth,t1_r1", "1,0,inf"], "'inf' is not a number"),
        (["case,truth,t1_r1", "1,0,1", "1,1,2"], "more than one row"),
        (["case,truth,t1_r1", "1,,1"], "no truth"),
        (["case,truth,t1_r1", "1,0"], "2 cells"),
        (["case,truth,t1_r1,t1_r1", "1,0,1,1"], "Two columns"),
        (["id,truth,t1_r1", "1,0,1"], "no column 'case'"),
    ],
)
def test_mrmc_table_errors_name_the_fault(lines: list[str], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        parse_mrmc(lines)


def test_mrmc_a_case_without_a_patient_is_not_one_of_an_unnamed_patient() -> None:
    lines = ["case,patient,truth,t1_r1", "1,A,0,1", "2,,1,2", "3,,1,3"]
    with pytest.raises(StatisticsError, match="Case '2' has no patient"):
        parse_mrmc(lines, cluster="patient")


@pytest.mark.parametrize("roles", [{"ai": "truth"}, {"cluster": "truth"}, {"ai": "t1_r1", "cluster": "t1_r1"}])
def test_mrmc_table_a_column_has_one_role(roles: dict[str, str]) -> None:
    """An AI that is the truth would be perfect."""
    with pytest.raises(StatisticsError, match="two roles"):
        parse_mrmc(TABLE.splitlines(), **roles)


@pytest.mark.parametrize(
    "options",
    [{"level": 2.0}, {"level": float("nan")}, {"margin": 0.1}, {"margin": -1.0}, {"positive_from": float("nan")}],
)
def test_mrmc_report_refuses_options_outside_their_limits(options: dict[str, float]) -> None:
    with pytest.raises(StatisticsError, match="must"):
        mrmc_report(parse_mrmc(TABLE.splitlines()), **options)


def run(path: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("analyse_mrmc", str(path), stdout=out, **options)
    return out.getvalue()


def test_mrmc_command_json_keys(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text(TABLE, encoding="utf-8")
    assert set(json.loads(run(path, format="json"))) == {"auc"}
    report = json.loads(run(path, format="json", positive_from=3.0, covariance="jackknife"))
    assert set(report) == {"auc", "sensitivity", "specificity"}
    for endpoint in report.values():
        assert {"modalities", "difference", "se", "F", "df", "p", "low", "high"} <= set(endpoint)
        first, second = (endpoint["modalities"][name]["estimate"] for name in ("t1", "t2"))
        assert endpoint["difference"] == pytest.approx(first - second)
        assert endpoint["low"] < endpoint["difference"] < endpoint["high"]


def test_mrmc_command_text_and_csv(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text(TABLE.replace("t1_", "=t1_"), encoding="utf-8")
    assert "20 positive and 20 negative cases, 2 readers" in run(path)
    assert "\nauc,random readers and cases,'=t1," in run(path, format="csv")


def test_mrmc_command_ai_against_readers(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text(TABLE.replace("t1_r1", "AI"), encoding="utf-8")
    report = json.loads(run(path, format="json", ai="AI", margin=0.2, positive_from=3.0))
    assert report["auc"]["non_inferior"] in (True, False, None)
    assert set(report["sensitivity"]["readers"]) == {"t2_r1", "t1_r2", "t2_r2"}
    assert "Non-inferiority of the AI at a margin of 0.2" in run(path, ai="AI", margin=0.2)


def test_mrmc_command_errors_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("case,truth,t1_r1,t2_r1\n1,1,2,3\n2,1,3,3\n", encoding="utf-8")
    with pytest.raises(CommandError, match="2 are positive; both kinds are needed"):
        run(path)


def test_mrmc_command_vandyke() -> None:
    """The published analysis: jackknife covariance, F(1, 15.26) = 4.46, p = 0.0517."""
    report = json.loads(run(golden_file("vandyke1993_mrmc.csv"), format="json", covariance="jackknife"))
    assert round(report["auc"]["F"], 2) == 4.46
    assert round(report["auc"]["df"], 2) == 15.26
    assert round(report["auc"]["p"], 4) == 0.0517


def test_mrmc_command_franken() -> None:
    """RJafroc prints F = 4.694058, df = 3, p = 0.118838 for this study (random readers and cases)."""
    report = json.loads(run(golden_file("franken1992_mrmc.csv"), format="json", covariance="jackknife"))
    assert report["auc"]["F"] == pytest.approx(4.694058, abs=1e-6)
    assert report["auc"]["df"] == pytest.approx(3)
    assert report["auc"]["p"] == pytest.approx(0.118838, abs=1e-6)
    assert "wider interval" in report["auc"]["note"]
