"""Every number of the golden files that this half of the library computes, walked leaf by leaf.

The expected values come from MRMCaov, RJafroc, iMRMC, DTComPair and mitoticFigureCounts (R packages); each
file names its source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from leukoweb.statistics.mrmc import ObuchowskiRockette, ai_versus_readers, analyse_auc, analyse_proportion
from leukoweb.statistics.ustatistics import u_statistic
from tests.statistics.golden import expected_of, rows_of
from tests.statistics.golden_mrmc import (
    check_all,
    like_imrmc,
    like_mitotic,
    like_mrmcaov,
    like_own_script,
    like_rjafroc,
    vandyke,
)


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
