"""The library's MRMC results in the shapes of the golden files, and the comparison of all their numbers.

MRMCaov, RJafroc, iMRMC and the golden files' own script each name and nest the same numbers differently.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from leukoweb.statistics.mrmc import AiVersusReaders, ObuchowskiRockette
from leukoweb.statistics.mrmc_anova import Difference, ModalityMean
from leukoweb.statistics.mrmc_table import MrmcTable, parse_mrmc
from leukoweb.statistics.ustatistics import UStatistic
from tests.statistics.golden import TOLERANCE, golden_file, numbers


def same(found: Any, wanted: float | None, absolute: float) -> bool:
    if wanted is None:
        return found is None or not math.isfinite(found)
    if found is None:
        return False
    return math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=absolute)


def check_all(wanted: Any, found: Any, explained: dict[str, str], at_least: int, *, absolute: float = 1e-9) -> None:
    """Compare all numbers; a difference or a gap must be explained, and an explanation must be needed."""
    have = dict(numbers(found))
    matched, open_questions, used = 0, [], set()
    for path, value in numbers(wanted):
        if path in have and same(have[path], value, absolute):
            matched += 1
            continue
        reasons = [pattern for pattern in explained if re.search(pattern, path)]
        used.update(reasons)
        if not reasons:
            open_questions.append(f"{path}: expected {value}, found {have.get(path, 'nothing')}")
    total = len(dict(numbers(wanted)))
    print(f"{matched} of {total} match to {TOLERANCE:g}; not, and why: {explained}")
    assert not open_questions, "\n".join(open_questions[:20])
    assert used == set(explained), f"explanations without a difference: {set(explained) - used}"
    assert matched >= at_least


def vandyke() -> MrmcTable:
    return parse_mrmc(golden_file("vandyke1993_mrmc.csv").read_text().splitlines())


# The shape of MRMCaov's output -----------------------------------------------------------------------------


def interval(item: ModalityMean | Difference) -> dict[str, float]:
    return {"Lower": item.low, "Upper": item.high}


def difference_leaf(item: Difference, fixed: bool) -> dict[str, Any]:
    leaf = {
        "Estimate": item.estimate,
        "StdErr": item.se,
        "CI": interval(item),
        "p-value": item.p,
        "z" if fixed else "t": item.statistic,
    }
    return leaf if fixed else leaf | {"df": item.df}


def like_mrmcaov(found: ObuchowskiRockette, design: str, name: str) -> dict[str, Any]:
    parts = found.components
    test = {"RRRC": found.random, "FRRC": found.fixed_readers, "RRFC": found.fixed_cases}[design]
    fixed = design == "FRRC"
    equality: dict[str, Any] = {
        "MS(T)": parts.ms_treatment,
        "MS(T:R)": parts.ms_treatment_reader,
        "Cov1": parts.cov1,
        "Cov2": parts.cov2,
        "Cov3": parts.cov3,
        "Denominator": test.denominator,
        "p-value": test.p,
    }
    equality |= {"X2": test.F * test.df1, "df": test.df1} if fixed else {"F": test.F, "df1": test.df1, "df2": test.df}
    means = [
        {
            "Estimate": mean.estimate,
            "MS(R)": mean.ms_reader,
            "Var(Error)": mean.var_error,
            "Cov2": mean.cov2,
            "StdErr": mean.se,
            "df": mean.df,
            "CI": interval(mean),
        }
        for mean in test.modalities
    ]
    return {
        "vcov_comps": {
            "reader": parts.var_reader,
            "treatment:reader": parts.var_treatment_reader,
            "Error": parts.var_error,
            "Cov1": parts.cov1,
            "Cov2": parts.cov2,
            "Cov3": parts.cov3,
        },
        "test_means": means,
        "test_diffs": [difference_leaf(item, fixed) for item in test.differences],
        "test_equality": [equality],
        "reader_test_diffs": [difference_leaf(item.difference, True) for item in found.reader_differences]
        if fixed
        else None,
        "reader_means": [
            {name: item.estimate, "StdErr": item.se, "CI": {"Lower": item.low, "Upper": item.high}}
            for item in found.reader_estimates
        ]
        if fixed
        else None,
        "per_reader": [{name: value} for value in found.estimates.ravel()],
        "cov": found.covariance.tolist(),
    }


def like_own_script(found: ObuchowskiRockette) -> dict[str, Any]:
    parts, first = found.components, found.random.differences[0]
    return {
        "F": found.random.F,
        "df": found.random.df,
        "p": found.random.p,
        "se_diff": first.se,
        "diff": first.estimate,
        "Cov1": parts.cov1,
        "Cov2": parts.cov2,
        "Cov3": parts.cov3,
        "VarE": parts.var_error,
        "MST": parts.ms_treatment,
        "MSTR": parts.ms_treatment_reader,
    }


def like_imrmc(found: UStatistic, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    return {
        "mean": {"A": found.means[0], "B": found.means[1], "AminusB": found.estimate},
        "var": {"A": found.variances[0], "B": found.variances[1], "AminusB": found.variance},
        "se": {"A": found.variances[0] ** 0.5, "B": found.variances[1] ** 0.5, "AminusB": found.se},
        "moments": dict(zip(("c0r0", "c0r1", "c1r0", "c1r1"), zip(*found.moments, strict=True), strict=True)),
        "coeff": dict(zip(("c0r0", "c0r1", "c1r0", "c1r1"), zip(*found.coefficients, strict=True), strict=True)),
        "nR": found.n_readers,
        "nC": found.n_cases,
        "meanPerR": {"A": a.mean(axis=0).tolist(), "B": b.mean(axis=0).tolist()},
    }


def like_rjafroc(by_margin: dict[str, AiVersusReaders]) -> dict[str, Any]:
    any_margin = by_margin["0.05"]
    return {
        "fom_ai": any_margin.ai,
        "fom_readers": list(any_margin.readers),
        "mean_readers": any_margin.readers_mean,
        "diff_readers_minus_ai": -any_margin.difference,
        "varError": any_margin.var_error,
        "cov2": any_margin.cov2,
        "MSR": any_margin.ms_reader,
        "se": any_margin.se,
        "df": any_margin.df,
        "t": -any_margin.difference / any_margin.se,
        "p": any_margin.p,
        "ci_readers_minus_ai": [-any_margin.high, -any_margin.low],
        "ci_ai_minus_readers": [any_margin.low, any_margin.high],
        "noninferiority": [
            {
                "delta": item.margin,
                "t": (item.difference + (item.margin or 0)) / item.se,
                "p_one_sided": item.p_non_inferior,
                "lower_97.5": item.low,
            }
            for item in by_margin.values()
        ],
    }


def like_mitotic(found: ObuchowskiRockette) -> dict[str, Any]:
    parts, random = found.components, found.random
    pair = random.modalities
    return {
        "python": like_own_script(found),
        "golden": {
            "F_stat": random.F,
            "df.H": random.df,
            "p": random.p,
            "theta.i": [mean.estimate for mean in pair],
            "df.sgl": [mean.df for mean in pair],
            "se.i": [mean.se for mean in pair],
            "se.dif": random.differences[0].se,
            "covOR": {
                "varR": parts.var_reader,
                "varTR": parts.var_treatment_reader,
                "cov1": parts.cov1,
                "cov2": parts.cov2,
                "cov3": parts.cov3,
                "varE": parts.var_error,
                **{f"varR.{i}": mean.ms_reader - mean.var_error + mean.cov2 for i, mean in enumerate(pair, 1)},
                **{f"cov2.{i}": mean.cov2 for i, mean in enumerate(pair, 1)},
                **{f"varE.{i}": mean.var_error for i, mean in enumerate(pair, 1)},
            },
            "theta.hat": found.estimates.tolist(),
            "cov.hat": found.covariance.tolist(),
            "botCI": [mean.low for mean in pair],
            "topCI": [mean.high for mean in pair],
        },
    }
