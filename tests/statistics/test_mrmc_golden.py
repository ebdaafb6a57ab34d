"""Every number of the golden files that this half of the library computes, walked leaf by leaf.

The expected values come from MRMCaov, RJafroc, iMRMC, DTComPair and mitoticFigureCounts (R packages); each
file names its source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from leukoweb.statistics.mrmc import (
    AiVersusReaders,
    ObuchowskiRockette,
    ai_versus_readers,
    analyse_auc,
    analyse_proportion,
)
from leukoweb.statistics.mrmc_anova import Difference, ModalityMean
from leukoweb.statistics.mrmc_table import MrmcTable, parse_mrmc
from leukoweb.statistics.ustatistics import UStatistic, u_statistic
from tests.statistics.golden import TOLERANCE, expected_of, golden_file, numbers, rows_of


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


def over_all_cases(correct: np.ndarray, n: int) -> ObuchowskiRockette:
    return analyse_proportion(correct, jackknife_over=n)


def listed(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: listed(value) for key, value in tree.items()}
    return [listed(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def test_mrmc_vandyke_all_values() -> None:
    table = vandyke()
    n = len(table.truth)
    correct = (table.scores >= 3) == table.truth
    groups = {"all": np.ones(n, dtype=bool), "diseased": table.truth, "nondiseased": ~table.truth}
    found: dict[str, Any] = {"R_all": {}}
    for method, label in (("delong", "DeLong"), ("jackknife", "jackknife"), ("unbiased", "unbiased")):
        analysis = analyse_auc(table.truth, table.scores, covariance=method)  # type: ignore[arg-type]
        random = like_mrmcaov(analysis, "RRRC", "empirical_auc")
        found[f"auc_{method}"] = {"python": like_own_script(analysis), "R": random}
        found["R_all"][f"vandyke_auc_RRRC_{label}"] = random
        found["R_all"][f"vandyke_auc_FRRC_{label}"] = like_mrmcaov(analysis, "FRRC", "empirical_auc")
        found["R_all"]["vandyke_auc_RRFC"] = like_mrmcaov(analysis, "RRFC", "empirical_auc") | {"cov": None}
    for short, group in (("sens", table.truth), ("spec", ~table.truth)):
        analysis, name = analyse_proportion(correct[:, :, group]), f"binary_{short}"
        random = like_mrmcaov(analysis, "RRRC", name)
        found[f"{short}_ge3_jackknife"] = {
            "python": like_own_script(analysis),
            "R": random,
            "variant_jackknife_over_all_cases": like_own_script(over_all_cases(correct[:, :, group], n)),
        }
        found["R_all"][f"vandyke_{name}_ge3_RRRC_jackknife"] = random
        found["R_all"][f"vandyke_{name}_ge3_FRRC_jackknife"] = like_mrmcaov(analysis, "FRRC", name)
    for name, group in groups.items():
        a, b = (correct[t][:, group].T.astype(float) for t in (0, 1))
        result = u_statistic(a, b)
        leaf = like_imrmc(result, a, b)
        script = {"diff": result.estimate, "var": result.variance, "se": result.se}
        found[f"ustat_{name}"] = {"python": script, "R": leaf}
        for kind in ("conditionalD", "jointD"):
            found["R_all"][f"vandyke_uStat11.{kind}_correct_{name}"] = leaf
    explained = {
        r"FRRC_jackknife/reader_means/8/CI": "reader 4 found every diseased case: the package prints 1 to 1, "
        "a standard error of 0 is no interval here",
    }
    check_all(expected_of("vandyke1993_mrmc")["results"], listed(found), explained, at_least=2000)


def test_mrmc_ai_versus_readers_all_values() -> None:
    rows = rows_of("leukemia64_reconstruction.csv")
    column: dict[str, np.ndarray] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    readers = ("P1-1", "P2", "P3")
    ill = column["truth"] != "NONE"
    collapse = {"AML": "ACUTE", "ALL": "ACUTE", "CML": "CHRONIC", "CLL": "CHRONIC", "NONE": "NONE"}

    def three(name: str) -> np.ndarray:
        return np.array([collapse.get(value, value) for value in column[name]])

    def compare(right: Callable[[str], np.ndarray], group: np.ndarray, over: int | None) -> dict[str, Any]:
        ai = right("AI")[group].astype(float)
        people = np.column_stack([right(name)[group] for name in readers]).astype(float)
        return {str(margin): ai_versus_readers(ai, people, margin, jackknife_over=over) for margin in (0.05, 0.1)}

    def right3(name: str) -> np.ndarray:
        given = column["AI3"] if name == "AI" else three(name)
        return np.asarray(given == column["truth3"])

    every = np.ones(len(rows), dtype=bool)
    found: dict[str, Any] = {
        "sens_leukemia": compare(lambda name: column[name] != "NONE", ill, len(rows)),
        "spec_leukemia": compare(lambda name: column[name] == "NONE", ~ill, len(rows)),
        "accuracy5": compare(lambda name: column[name] == column["truth"], every, None),
        "accuracy3": compare(right3, every, None),
    }
    mine: dict[str, Any] = {f"leukemia64_AI_vs_3readers_{name}": like_rjafroc(pair) for name, pair in found.items()}
    for label, right in (("C5", lambda name: column[name] == column["truth"]), ("C3", right3)):
        ai, people = (
            right("AI").astype(float),
            np.column_stack([right(name) for name in readers]).astype(float),
        )
        leaf = like_imrmc(u_statistic(np.repeat(ai[:, None], 3, axis=1), people), people, people)
        mine[f"leukemia64_uStat11_conditionalD_{label}"] = {key: leaf[key] for key in ("mean", "var", "se")}
    check_all(expected_of("leukemia64_reconstruction")["mrmc_AI_vs_3_readers"], mine, {}, at_least=100)


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


def test_mrmc_non_inferiority_verdicts() -> None:
    wanted = expected_of("leukemia64_reconstruction")["mrmc_AI_vs_3_readers"]
    tests = [test for item in wanted.values() for test in item.get("noninferiority", [])]
    assert len(tests) == 8
    for test in tests:
        assert test["noninferior_at_0.025"] == (test["lower_97.5"] > -test["delta"])


# Cases in clusters: candidate mitotic figures of four slides ------------------------------------------------


def mitotic() -> dict[str, list[dict[str, str]]]:
    by_modality: dict[str, list[dict[str, str]]] = {}
    for row in rows_of("mitoticFigureCounts_classify.csv"):
        by_modality.setdefault(row["modalityID"], []).append(row)
    return by_modality


def scores_of(rows: list[dict[str, str]]) -> np.ndarray:
    ordered = sorted(rows, key=lambda row: int(row["targetID"]))
    return np.array([[float(row[f"observer.{j}"]) for row in ordered] for j in range(1, 6)])


def test_mrmc_mitotic_all_values() -> None:
    by_modality = mitotic()
    ordered = sorted(by_modality["microscope"], key=lambda row: int(row["targetID"]))
    truth = np.array([row["truth"] == "1" for row in ordered])
    slides = np.array([row["wsiName"] for row in ordered])
    wanted = expected_of("mitoticFigureCounts_classify")
    clustered, plain = {}, {}
    for letter in "ABCD":
        scores = np.stack([scores_of(by_modality["microscope"]), scores_of(by_modality[f"scanner.{letter}"])])
        clustered[f"Scanner{letter}"] = like_mitotic(analyse_auc(truth, scores, clusters=slides))
        prefix = f"mitotic_scanner.{letter}"
        for short, group in (("sens", truth), ("spec", ~truth)):
            right = scores[:, :, group] == truth[group]
            plain[f"{prefix}_vs_microscope_binary_{short}_RRRC_jackknife_unclustered"] = like_mrmcaov(
                analyse_proportion(right), "RRRC", f"binary_{short}"
            )
        for name, group in (("all", truth | ~truth), ("diseased", truth), ("nondiseased", ~truth)):
            a, b = ((scores[t][:, group] == truth[group]).T.astype(float) for t in (0, 1))
            leaf = like_imrmc(u_statistic(a, b), a, b)
            plain[f"{prefix}_uStat11_conditionalD_{name}"] = {key: leaf[key] for key in ("mean", "var")}
    check_all(wanted["clustered_OR_auc"], clustered, {}, at_least=588)
    check_all(wanted["unclustered_R"], plain, {}, at_least=600)


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
