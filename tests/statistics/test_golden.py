"""Every number of the golden files: matched to 1e-6, or explained. Run with ``-s`` to see the counts.

The files of MRMC data are walked in ``test_mrmc_golden.py``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from leukoweb.statistics import confusion, intervals, paired
from tests.statistics.golden import expected_of, golden_file, numbers, rows_of, walk
from tests.statistics.golden_found import (
    codes_of,
    observer,
    one_evaluator,
    pairwise_block,
    several_raters,
    several_raters_raw,
    two_raters,
    two_raters_raw,
)

TABLES = (
    "agresti_sexualfun_counts",
    "gwet_cont3x3abstractors_counts",
    "landiskoch1977_mspatients_NewOrleans",
    "landiskoch1977_mspatients_Winnipeg",
)
RATERS = (
    "cserni2022_nottingham",
    "cserni2022_tubulus",
    "dawidskene1979_anesthesia",
    "fleiss1971_diagnoses",
    "irr_anxiety",
    "irr_video",
    "krippendorff_raw4raters",
    "pdl1_sp142_bin",
    "steiner2020_prostate_unassisted",
)
SCOTT = "irrCAC's table version prints the SE of Scott's pi for alpha (it is matched as scott_pi); ours is alpha's own"
TABLE_REASONS = {
    r"krippendorff_alpha_2raters\..*\.se|irrCAC::krippen2\..*/se": SCOTT,
    r"psych::cohen.kappa/(linear|quadratic)/(se|ci)": "psych's weighted-kappa SE is wrong; the unweighted is matched",
    r"epi.kappa\(fleiss\)/(kappa/[23]|prevalence)": "an interval from the null SE, which the library refuses to give",
    r"epi.kappa\(fleiss\)/pabak": "2 po - 1 whatever the number of classes; ours is (K po - 1)/(K - 1)",
}
DROPS = "irr drops classes with equal margins from the table, which changes statistic and df"
NORMAL = "Light's z of irr assumes independent pairs of raters; the library gives a linearised SE instead"
IRR_ALPHA = "irr and DescTools weigh wrongly when no read is missing; where reads are missing they match"
ROUNDED = {r"irrCAC1.4::.*/(value|se|p_onesided)": 6e-6}
COMMON = {
    r"^/data/": "a description of the data, not a result",
    r"/disagree/": "a package that differs, with its reason beside it in the golden file",
}


def show(name: str, counts: dict[str, int]) -> None:
    print(f"{name}: {counts['matched']} of {counts['total']} match to 1e-6, {counts['rounded']} as far as the golden "
          f"file prints digits, {counts['explained']} explained")  # fmt: skip


def needed(reasons: dict[str, str], wanted: Any) -> dict[str, str]:
    """The reasons whose paths this file has at all."""
    paths = [path for path, _ in numbers(wanted)]
    return {pattern: why for pattern, why in reasons.items() if any(re.search(pattern, path) for path in paths)}


@pytest.mark.parametrize("name", TABLES)
def test_two_raters(name: str) -> None:
    wanted = expected_of(name)
    table = wanted["R_raw"]["table"]
    found = {"expected": two_raters(table), "R_raw": two_raters_raw(table)}
    found["expected"] = {key: item for key, item in found["expected"].items() if key in wanted["expected"]}
    found["R_raw"] = {key: item for key, item in found["R_raw"].items() if key in wanted["R_raw"]}
    reasons = COMMON | TABLE_REASONS
    if name == "gwet_cont3x3abstractors_counts":
        reasons |= {
            r"mcnemar.test.*/(chi2|p)$": "R gives nothing when a pair of classes has no discordant case",
            r"(irr::stuart|DescTools::Stuart).*/(df|p)": "df = K - 1 although a class without discordance drops out; "
            "the expected block has the rank",
        }
    if name == "agresti_sexualfun_counts":
        reasons |= {r"irr::stuart.maxwell.mh": DROPS}
    show(name, walk(wanted, found, needed(reasons, wanted)))


@pytest.mark.parametrize("name", RATERS)
def test_several_raters(name: str) -> None:
    wanted = expected_of(name)
    data = wanted["data"]
    classes = [str(label) for label in data["categories"]]
    ratings = codes_of(rows_of(data["file"]), data["raters"], classes)
    found = {
        "expected": several_raters(ratings, classes, list(wanted["expected"])),
        "pairwise_cohen_kappa": pairwise_block(ratings, data["raters"], len(classes), wanted["pairwise_cohen_kappa"]),
        "R_raw": several_raters_raw(ratings, data["raters"], classes, wanted["R_raw"]),
    }
    reasons = COMMON | {r"irr::kappam.light/z": NORMAL}
    if not data["missing"]:
        reasons |= {r"(irr::kripp.alpha|DescTools::KrippAlpha)\.": IRR_ALPHA}
    if name == "irr_video":
        reasons |= {
            r"irrCAC1.4::": "run on the four classes seen; the expected block declares all five",
            r"pairwise_vcd.*ase": "the root of a variance that rounding made negative; ours and the expected block: 0",
        }
    show(name, walk(wanted, found, needed(reasons, wanted), ROUNDED))


def test_intra_observer_sessions() -> None:
    name = "intraobserver_anesthesia_rater1"
    wanted = expected_of(name)
    ratings = codes_of(rows_of(wanted["data"]["file"]), wanted["data"]["columns"], ["1", "2", "3", "4"])
    found: dict[str, Any] = {
        "three_sessions": several_raters(ratings, ["1", "2", "3", "4"], list(wanted["three_sessions"])),
        "pairs": {},
    }
    for pair, (a, b) in zip(wanted["pairs"], ((0, 1), (0, 2), (1, 2)), strict=True):
        table = confusion.confusion_matrix(ratings[:, a], ratings[:, b], 4)
        block = {key: item for key, item in two_raters(table).items() if key in wanted["pairs"][pair]["expected"]}
        found["pairs"][pair] = {"table": table.tolist(), "expected": block}
    show(name, walk(wanted, found, needed(COMMON | {TABLE_PATTERN: SCOTT}, wanted)))


TABLE_PATTERN = r"krippendorff_alpha_2raters\..*\.se"


def test_paired_tests_of_pathologists() -> None:
    name = "carcinoma_paired_tests"
    wanted = expected_of(name)
    found = {"pairs": {}}
    for pair, block in wanted["pairs"].items():
        one = {key: item for key, item in two_raters(block["table"]).items() if key in block["expected"]}
        found["pairs"][pair] = {"table": block["table"], "expected": one}
    show(name, walk(wanted, found, needed(COMMON | {TABLE_PATTERN: SCOTT}, wanted)))


def test_proportions() -> None:
    wanted = expected_of("proportion_ci")
    found: dict[str, Any] = {"cases": []}
    for case in wanted["cases"]:
        x, n = case["x"], case["n"]
        one: dict[str, Any] = {"x": x, "n": n, "p": intervals.proportion(x, n).estimate}
        for method, function in (("wilson", intervals.wilson), ("clopper_pearson", intervals.clopper_pearson)):
            one[method] = [float(limit) for limit in function(x, n)]
        found["cases"].append(one)
    reasons = {
        r"/other/": "methods that the library does not offer (continuity correction, Agresti-Coull, Jeffreys, mid-p)"
    }
    show("proportion_ci", walk(wanted, found, needed(COMMON | reasons, wanted)))


SHARES = r"(AccuracyNull|AccuracyPValue|Prevalence|Detection Rate|Detection Prevalence)$"
CARET = {
    SHARES: "not offered: shares of the data, and a test against always giving the commonest class",
    r"caret/.*(Pos Pred Value|Neg Pred Value)": "caret takes PPV and NPV from the prevalence, undefined for a class "
    "without a true case; ours are fractions of the predictions",
    r"caret/.*F1": "caret's F1 is undefined where precision or recall is; ours is 2TP/(2TP+FP+FN)",
    r"caret/macro_|caret/.*McnemarPValue": "caret's own averages, and a symmetry test on reference against prediction",
}
WEIGHTED = {r"sklearn weighted": "support-weighted averages are not offered: the paper's convention is macro"}


def test_edge_cases() -> None:
    wanted = expected_of("edge_case_confusions")
    found: dict[str, Any] = {"cases": {}}
    for name, case in wanted["cases"].items():
        one = one_evaluator(case["confusion_rows_truth"])
        x, n = np.trace(case["confusion_rows_truth"]), np.sum(case["confusion_rows_truth"])
        low, high = intervals.clopper_pearson(x, n)
        metrics, k = one["per_class"], len(case["labels"])
        names = {
            "Sensitivity": "sensitivity",
            "Recall": "sensitivity",
            "Specificity": "specificity",
            "Precision": "ppv",
        }
        one["caret"] = {
            "overall": {
                "Accuracy": one["accuracy"], "Kappa": one["kappa_vs_truth"],
                "AccuracyLower": float(low), "AccuracyUpper": float(high),
            },
            "byClass": {
                case["labels"][c]: {
                    **{caret: metrics[ours][c] for caret, ours in names.items()},
                    "Balanced Accuracy": metrics["balanced_accuracy_ovr"][c],
                }
                for c in range(k)
            },
        }  # fmt: skip
        if "caret" not in case or "byClass" not in case["caret"]:
            one.pop("caret")
        found["cases"][name] = one
    show("edge_case_confusions", walk(wanted, found, needed(COMMON | CARET | WEIGHTED, wanted)))


def epi(limits: Any) -> dict[str, list[float]]:
    """epiR's proportions of the paper's Fig. 3 with one interval method."""
    a, b, c, d = 525, 5, 11, 339  # TP, FP, FN, TN
    n = a + b + c + d
    fractions = {
        "ap": (a + b, n), "tp": (a + c, n), "se": (a, a + c), "sp": (d, b + d), "diag.ac": (a + d, n),
        "pv.pos": (a, a + b), "pv.neg": (d, c + d), "p.rout": (c + d, n), "p.rin": (a + b, n), "p.tpdn": (b, b + d),
        "p.tndp": (c, a + c), "p.dntp": (b, a + b), "p.dptn": (c, c + d),
    }  # fmt: skip
    return {key: [x / m, *(float(limit) for limit in limits(x, m))] for key, (x, m) in fractions.items()}


def test_binary_figure_of_the_paper() -> None:
    wanted = expected_of("paper_fig3_binary")
    one = one_evaluator([[525, 11], [5, 339]])
    metrics = one["per_class"]
    found = {
        "metrics": one,
        "printed_table3": {
            "ppv": round(metrics["ppv"][0], 2), "sens": round(metrics["sensitivity"][0], 2),
            "f1": round(metrics["f1"][0], 2), "acc": round(one["accuracy"], 2),
            "spec": round(metrics["specificity"][0], 2),
        },
        "R_epiR_exact": epi(intervals.clopper_pearson),
        "R_epiR_wilson": epi(intervals.wilson),
        "R_caret": {
            "overall": {
                "Accuracy": one["accuracy"], "Kappa": one["kappa_vs_truth"],
                "AccuracyLower": float(intervals.clopper_pearson(864, 880)[0]),
                "AccuracyUpper": float(intervals.clopper_pearson(864, 880)[1]),
                "McnemarPValue": paired.mcnemar(11, 5, method="corrected").p,
            },
            "byClass": {
                "Sensitivity": metrics["sensitivity"][0], "Specificity": metrics["specificity"][0],
                "Pos Pred Value": metrics["ppv"][0], "Neg Pred Value": metrics["npv"][0],
                "Precision": metrics["ppv"][0], "Recall": metrics["sensitivity"][0], "F1": metrics["f1"][0],
                "Balanced Accuracy": metrics["balanced_accuracy_ovr"][0],
            },
        },
    }  # fmt: skip
    reasons = COMMON | {SHARES: CARET[SHARES]} | WEIGHTED | {
        r"diag.or|nndx|youden|lr\.": "not offered: odds, likelihood ratios, Youden's index, NND",
        r"printed_table3/(sens|spec)": "the paper cuts 0.979 and 0.985 off to 0.97 and 0.98 where it rounds elsewhere",
    }  # fmt: skip
    show("paper_fig3_binary", walk(wanted, found, needed(reasons, wanted)))


def test_observers_of_mitotic_figures() -> None:
    name = "mitoticFigureCounts_classify"
    wanted = expected_of(name)["per_reader_metrics"]
    rows = rows_of(f"{name}.csv")
    found = {}
    for modality, readers in wanted.items():
        inside = [row for row in rows if row["modalityID"] == modality]
        truth = codes_of(inside, ["truth"], ["0", "1"])[:, 0]
        found[modality] = {reader: observer(truth, codes_of(inside, [reader], ["0", "1"])[:, 0]) for reader in readers}
    show(f"{name} (readers)", walk(wanted, found, {}))


WALKED_ELSEWHERE = {"paired_sens_spec_vandyke", "vandyke1993_mrmc"}


def test_no_golden_file_is_left_out() -> None:
    """Every file of the folder is walked here or in test_mrmc_golden.py."""
    folder = golden_file("vandyke1993_mrmc.expected.json").parent
    here = {*TABLES, *RATERS, "intraobserver_anesthesia_rater1", "carcinoma_paired_tests", "proportion_ci"}
    here |= {"edge_case_confusions", "paper_fig3_binary", "mitoticFigureCounts_classify", "leukemia64_reconstruction"}
    here |= {"definition_traps"}
    files = {path.name.removesuffix(".expected.json") for path in folder.glob("*.expected.json")}
    assert files == here | WALKED_ELSEWHERE
