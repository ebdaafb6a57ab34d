"""Paired sensitivity, specificity and predictive values: every number of the golden file, walked leaf by leaf."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from leukoweb.statistics.paired import mcnemar
from leukoweb.statistics.predictive_values import compare_predictive_values, tango_interval
from leukoweb.statistics.results import TestResult
from tests.statistics.golden import TOLERANCE, expected_of
from tests.statistics.test_mrmc_golden import check_all, vandyke

# ---------------------------------------------------------


def by_mcnemar(table: np.ndarray, method: Literal["exact", "chi-square"]) -> TestResult:
    """Rows = second test, columns = first, positive first."""
    return mcnemar(int(table[1, 0]), int(table[0, 1]), n=int(table.sum()), method=method)


def with_margins(table: np.ndarray) -> list[list[int]]:
    wide = np.vstack([table, table.sum(axis=0)])
    return np.column_stack([wide, wide.sum(axis=1)]).astype(int).tolist()  # type: ignore[no-any-return]


def paired_report(ill: np.ndarray, well: np.ndarray) -> dict[str, Any]:
    """One reader as DTComPair prints it; specificity counts negative answers, so its table is turned round."""
    report: dict[str, Any] = {"diseased": with_margins(ill), "nondiseased": with_margins(well)}
    report |= {key: {} for key in ("mcnemar", "exact", "tango", "pv_wgs", "pv_gs", "pv_rpv")}
    for short, table in (("sens", ill), ("spec", well[::-1, ::-1])):
        score, n = tango_interval(table), table.sum()
        both = {"test1": table[:, 0].sum() / n, "test2": table[0].sum() / n, "diff": score.estimate}
        chi_square = by_mcnemar(table, "chi-square")
        report["mcnemar"][short] = both | {"test.statistic": chi_square.statistic, "p.value": chi_square.p}
        report["exact"][short] = both | {"p.value": by_mcnemar(table, "exact").p}
        report["tango"][short] = both | {"diff.se": None, "diff.lcl": score.low, "diff.ucl": score.high}
    for short in ("ppv", "npv"):
        result = compare_predictive_values(ill, well, short)  # type: ignore[arg-type]
        both = {"test1": result.first, "test2": result.second, "diff": result.difference}
        for key, test in (("pv_wgs", result.weighted_score), ("pv_gs", result.score)):
            report[key][short] = both | {"test.statistic": test.statistic, "p.value": test.p}
        report["pv_rpv"][short] = both | {
            f"r{short}": result.ratio.estimate,
            f"se.log.r{short}": result.ratio.se,
            f"lcl.r{short}": result.ratio.low,
            f"ucl.r{short}": result.ratio.high,
            "test.statistic": result.ratio_test.statistic,
            "p.value": result.ratio_test.p,
        }
    return report


def script_report(table: np.ndarray) -> dict[str, Any]:
    chi_square = by_mcnemar(table, "chi-square")
    return {
        "table_rows_test2_cols_test1": table.tolist(),
        "mcnemar_chi2": chi_square.statistic,
        "mcnemar_p": chi_square.p,
        "exact_p": by_mcnemar(table, "exact").p,
    }


def test_mrmc_paired_sensitivity_specificity_and_predictive_values_all_values() -> None:
    table = vandyke()
    found = []
    for j in range(len(table.readers)):
        first, second = table.scores[:, j] >= 3
        ill, well = (
            np.array([[(second[group] == b).astype(int) @ (first[group] == a) for a in (1, 0)] for b in (1, 0)])
            for group in (table.truth, ~table.truth)
        )
        checks = {"sens": script_report(ill), "spec": script_report(well)}
        found.append({"reader": j + 1, "R_DTComPair": {"reader": j + 1} | paired_report(ill, well), "checks": checks})
    explained = {
        r"^/1/R_DTComPair/tango/sens/diff\.[lu]cl$": "the package prints mirrored limits, -0.161 to 0.060; with "
        "3 pairs for and 1 against the second test Tango's are -0.060 to 0.161",
        r"^/[23]/R_DTComPair/exact/spec/p.value$": "the package doubles a tail beyond 1; a p is capped at 1",
    }
    wanted = expected_of("paired_sens_spec_vandyke")["readers"]
    # The package stops its search for Tango's limits early, some 7e-8 off.
    check_all(wanted, found, explained, at_least=420, absolute=TOLERANCE)
    mirrored = wanted[1]["R_DTComPair"]["tango"]["sens"]
    mine = found[1]["R_DTComPair"]["tango"]["sens"]  # type: ignore[index]
    assert mine["diff.lcl"] == pytest.approx(-mirrored["diff.ucl"], abs=TOLERANCE)
    assert mine["diff.ucl"] == pytest.approx(-mirrored["diff.lcl"], abs=TOLERANCE)
