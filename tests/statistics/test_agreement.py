"""Agreement and paired tests: undefined cases, fallbacks and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leukoweb.statistics import agreement, krippendorff, multirater, paired
from leukoweb.statistics.confusion import confusion_matrix
from leukoweb.statistics.editions import computed_as
from leukoweb.statistics.results import StatisticsError

PERFECT = [[5, 0], [0, 4]]


def test_perfect_agreement_has_a_kappa_of_1_and_no_interval() -> None:
    kappa = agreement.cohen_kappa(PERFECT).result
    assert kappa.estimate == 1
    assert kappa.se == 0
    assert not kappa.has_interval
    assert "no interval" in kappa.note


def test_kappa_is_undefined_when_both_use_one_class_only() -> None:
    kappa = agreement.cohen_kappa([[9, 0], [0, 0]])
    assert not kappa.result.defined
    assert kappa.as_dict()["estimate"] is None
    assert kappa.as_dict()["p"] is None


def test_kappa_without_cases_is_undefined_with_a_reason() -> None:
    assert agreement.cohen_kappa(np.zeros((3, 3))).result.note == "no case read by both"


@pytest.mark.parametrize(
    "weights",
    [np.eye(3), [[1, 0.5], [0.4, 1]], [[0.9, 0], [0, 1]], [[1, -1], [-1, 1]], [[1, 2], [2, 1]]],
    ids=["shape", "asymmetric", "diagonal", "negative", "above 1"],
)
def test_weights_that_are_no_agreement_weights_are_refused(weights: object) -> None:
    with pytest.raises(StatisticsError, match="weights"):
        agreement.cohen_kappa(PERFECT, np.asarray(weights))


def test_custom_weights_give_the_kappa_of_their_definition() -> None:
    weights = np.array([[1, 0.3, 0], [0.3, 1, 0.9], [0, 0.9, 1]])
    table = np.array([[10, 2, 1], [3, 8, 4], [0, 2, 9]])
    p = table / table.sum()
    po, pe = (weights * p).sum(), (weights * np.outer(p.sum(1), p.sum(0))).sum()
    assert agreement.cohen_kappa(table, weights).result.estimate == pytest.approx((po - pe) / (1 - pe))
    assert float(agreement.kappa_values(table, weights)) == pytest.approx((po - pe) / (1 - pe))


def test_missing_reads_are_left_out_pair_by_pair() -> None:
    ratings = np.array([[0, 0, 1], [1, -1, 1], [1, 1, -1], [0, 1, 0]])
    found = agreement.pairwise_kappa(ratings, 2)
    assert found.n[0, 1] == 3
    assert found.n[0, 2] == 3
    assert found.n[1, 2] == 2
    table = confusion_matrix(ratings[:, 0], ratings[:, 1], 2)
    assert found.kappa[0, 1] == pytest.approx(agreement.cohen_kappa(table).result.estimate)


def test_difference_of_kappas_on_the_same_cases_is_0_for_the_same_raters() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    estimate, test = agreement.kappa_difference((a, b), (a, b), 3)
    assert estimate.estimate == 0
    assert not estimate.has_interval
    assert math.isnan(test.statistic)


def test_difference_of_kappas_agrees_with_the_jackknife() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    a, b, c = (np.where(rng.random(400) < right, truth, rng.integers(0, 3, 400)) for right in (0.9, 0.8, 0.6))
    estimate, test = agreement.kappa_difference((a, b), (a, c), 3)

    def difference(keep: np.ndarray) -> float:
        kappas = [float(agreement.kappa_values(confusion_matrix(a[keep], x[keep], 3))) for x in (b, c)]
        return kappas[0] - kappas[1]

    without = np.array([difference(np.arange(400) != i) for i in range(400)])
    jackknife = math.sqrt(399 / 400 * ((without - without.mean()) ** 2).sum())
    assert estimate.se == pytest.approx(jackknife, rel=0.01)
    assert test.statistic == pytest.approx(estimate.estimate / estimate.se)


def test_positive_agreement_counts_and_the_class_nobody_used() -> None:
    found = agreement.positive_agreement([[6, 1, 0], [2, 3, 0], [0, 0, 0]])
    assert found[0].estimate == pytest.approx(12 / 15)
    assert (found[0].numerator, found[0].denominator) == (12, 15)
    assert not found[2].defined


def test_pabak_of_two_classes_is_2_po_minus_1() -> None:
    assert float(agreement.pabak([[40, 5], [15, 4]])) == pytest.approx(2 * 44 / 64 - 1)


def test_all_reads_equal_leave_chance_corrected_coefficients_undefined() -> None:
    same = np.zeros((6, 3), dtype=int)
    for function in (multirater.fleiss_kappa, multirater.conger_kappa, multirater.light_kappa_linearised):
        assert not function(same, 3).estimate().defined, function.__name__
    assert multirater.percent_agreement(same, 3).value == 1
    assert multirater.gwet_ac(same, 3).value == 1
    assert not multirater.gwet_ac(same, 3).estimate().has_interval
    assert math.isnan(krippendorff.krippendorff_alpha(same, 3))
    assert not krippendorff.ordinal_alpha_estimate(same, 3).defined


def test_no_case_read_twice_leaves_everything_undefined() -> None:
    lonely = np.array([[0, -1], [-1, 1]])
    for function in (
        multirater.percent_agreement,
        multirater.fleiss_kappa,
        multirater.gwet_ac,
        multirater.light_kappa_linearised,
        krippendorff.krippendorff_linearised,
    ):
        assert not function(lonely, 2).estimate().defined, function.__name__


def test_a_rater_who_read_nothing_leaves_congers_kappa_undefined() -> None:
    assert math.isnan(multirater.conger_kappa_missing([[0, 1, -1], [1, 1, -1]], 2).value)


def test_one_rater_is_refused() -> None:
    with pytest.raises(StatisticsError, match="2 or more raters"):
        multirater.fleiss_kappa([[0], [1]], 2)


def test_linearised_errors_agree_with_the_jackknife() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 4, 300)
    ratings = np.stack([np.where(rng.random(300) < 0.7, truth, rng.integers(0, 4, 300)) for _ in range(3)], axis=1)
    for function in (
        multirater.fleiss_kappa,
        multirater.conger_kappa,
        multirater.gwet_ac,
        multirater.light_kappa_linearised,
        krippendorff.krippendorff_linearised,
    ):
        without = np.array([function(np.delete(ratings, i, axis=0), 4).value for i in range(300)])
        jackknife = math.sqrt(299 / 300 * ((without - without.mean()) ** 2).sum())
        assert function(ratings, 4).se() == pytest.approx(jackknife, rel=0.02), function.__name__


def test_mcnemar_without_discordance_and_with_a_tie() -> None:
    assert paired.mcnemar(0, 0).p == 1
    assert math.isnan(paired.mcnemar(0, 0, method="chi-square").p)
    assert paired.mcnemar(4, 4).p == 1
    assert paired.mcnemar(0, 0, n=5, method="mid-p").p == 1
    for method in ("exact", "mid-p", "chi-square", "corrected"):  # no case: no p, and none in Holm's family
        nothing = paired.mcnemar(0, 0, n=0, method=method)
        assert math.isnan(nothing.p)
        assert nothing.note == "no case read by both"
    with computed_as(3):
        assert paired.mcnemar(0, 0, n=0).p == 1
    # Fagerland's second case: at b = c half the point probability is taken off, 1 - C(2, 1) / 2^2 / 2.
    assert paired.mcnemar(1, 1, method="mid-p").p == pytest.approx(0.75)
    assert paired.mcnemar(4, 4, method="mid-p").p == pytest.approx(1 - 70 / 256 / 2)
    assert paired.mcnemar(1, 9).p == pytest.approx(2 * 11 / 1024)
    with pytest.raises(StatisticsError):
        paired.mcnemar(-1, 2)


def test_marginal_homogeneity_without_discordance_is_undefined() -> None:
    for test in (paired.stuart_maxwell, paired.bhapkar, paired.bowker):
        assert math.isnan(test(PERFECT).statistic), test.__name__


def test_stuart_maxwell_of_two_classes_is_mcnemar() -> None:
    table = [[20, 7], [2, 11]]
    assert paired.stuart_maxwell(table).statistic == pytest.approx(paired.mcnemar(7, 2, method="chi-square").statistic)
    assert paired.stuart_maxwell(table).df == 1


def test_cochran_q_of_two_is_mcnemar_and_needs_a_difference() -> None:
    success = np.array([[1, 0]] * 7 + [[0, 1]] * 2 + [[1, 1]] * 5, dtype=float)
    assert paired.cochran_q(success).statistic == pytest.approx(paired.mcnemar(7, 2, method="chi-square").statistic)
    assert math.isnan(paired.cochran_q(np.ones((4, 3))).p)


def test_holm_leaves_undefined_p_values_out_of_the_family() -> None:
    assert np.allclose(paired.holm([0.04, np.nan, 0.01]), [0.04, np.nan, 0.02], equal_nan=True)
