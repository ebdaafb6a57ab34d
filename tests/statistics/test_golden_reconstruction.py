"""The reconstruction of the paper's 64 patients, and the traps of definition: every number matched or explained.

The reconstruction is ours, not the authors' data; see tests/golden/README.md.
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np

from leukoweb.statistics import agreement, bootstrap, classification, confusion, intervals, multirater, paired
from leukoweb.statistics.ratings_report import printed
from tests.statistics.golden import expected_of, golden_file, rows_of, walk
from tests.statistics.golden_found import (
    codes_of,
    one_evaluator,
    pairwise_block,
    several_raters,
    two_raters,
)
from tests.statistics.test_golden import COMMON, SCOTT, TABLE_PATTERN, WEIGHTED, needed, show

BOOTSTRAP_OPTIONS = {
    "strict_less": "strict", "midrank": "midrank", "less_equal": "inclusive",
    "norm.inter": "normal", "quantile type7": "linear",
}  # fmt: skip
BOOTSTRAP_REASONS = {
    r"bootstrap/stats/\d/R/(norm|basic)/": "normal and basic bootstrap intervals are not offered",
    r"bootstrap/stats/\d/R/quantile_type6/": "quantile type 6 is not offered (types: normal-scale interpolation and 7)",
    r"scipy_bootstrap": "other resamples (scipy's own, seed 7)",
}


def bootstrap_block(wanted: dict[str, Any], codes: dict[str, Any]) -> dict[str, Any]:
    """Bootstrap values from the fixed resamples: statistics, quantiles and BCa in all conventions of the file."""
    with gzip.open(golden_file("boot_idx_64x2000.csv.gz"), "rt") as handle:
        weights = bootstrap.weights_from_indices(np.loadtxt(handle, delimiter=",", dtype=int), 64)
    pairs = (("truth", "AI"), ("AI", "P1-1"), ("P1-1", "P1-2"))
    cells = np.stack([confusion.pair_cells(codes[a], codes[b], 5) for a, b in pairs], axis=1)

    def statistics(tables: Any) -> Any:
        f1 = classification.class_metrics(tables[..., 0, :, :])["f1"]
        kappas = agreement.kappa_values(tables[..., 1:, :, :])
        macro = [classification.macro_average(f1, zero_division=rule).value for rule in ("zero", "exclude")]
        return np.stack([classification.accuracy(tables[..., 0, :, :]), *macro, kappas[..., 0], kappas[..., 1]], -1)

    scheme = bootstrap.make_scheme(64)
    ones = np.ones((1, 64), dtype=np.float32)
    full = statistics(bootstrap.weighted_tables(cells, ones, 5))[0]
    drawn = statistics(bootstrap.weighted_tables(cells, weights, 5))
    without = statistics(bootstrap.jackknife_tables(cells, scheme, 5))
    tail = [0.025, 0.975]
    out = []
    for index, block in enumerate(wanted["stats"]):
        values, t0 = drawn[:, index], float(full[index])
        centred = bootstrap.acceleration(without[:, index], scheme.stratum)
        around = bootstrap.acceleration(without[:, index], scheme.stratum, around=t0)
        regression = bootstrap.regression_acceleration(values, weights)

        def bca(bias: str, a: float, rule: str, values: Any = values, t0: float = t0) -> list[float]:
            z0 = bootstrap.bias_correction(values, t0, bias)  # type: ignore[arg-type]
            return bootstrap.quantiles(values, bootstrap.bca_probabilities(z0, a), rule).tolist()  # type: ignore[arg-type]

        accelerations = {"jackknife": centred, "boot_regression": regression}
        conventions = {}
        for key in block["python_recomputed_from_same_indices"]["bca"]:
            z0, a, rule = (part.split("=")[-1] for part in key.split(","))
            conventions[key] = bca(BOOTSTRAP_OPTIONS[z0], accelerations[a], BOOTSTRAP_OPTIONS[rule])
        ties = int((np.abs(values - t0) < 1e-12).sum())
        common = {"boot_mean": float(values.mean()), "boot_se": float(values.std(ddof=1))}
        normal = bootstrap.quantiles(values, tail, "normal").tolist()
        out.append(
            {
                "t0": t0,
                "R": {
                    **common, "t0": t0, "n_eq_t0": ties, "n_lt_t0": int((values < t0 - 1e-12).sum()),
                    "perc_bootci": normal, "quantile_type7": bootstrap.quantiles(values, tail).tolist(),
                    "bca_bootci_L_reg": bca("strict", regression, "normal"),
                    "bca_bootci_L_jack": bca("strict", around, "normal"), "a_reg": regression, "a_jack": around,
                },
                "python_recomputed_from_same_indices": {
                    **common, "perc_norm_inter": normal, "perc_type7": bootstrap.quantiles(values, tail).tolist(),
                    "a_jackknife": centred, "bca": conventions, "ties_at_t0": ties,
                    "a_jackknife_uncentred_t0 (R boot::empinf type=jack)": around,
                },
            }
        )  # fmt: skip
    classes = confusion.one_hot(codes["truth"], 5)
    absent = ((weights @ classes) == 0).mean(0).tolist()
    return {"stats": out, "fraction_class_absent": dict(zip(FIVE, absent, strict=True))}


def agreement_block(wanted: dict[str, Any], three: dict[str, Any], five: dict[str, Any]) -> dict[str, Any]:
    """Pairs, correctness tables and groups of readers of the reconstruction."""
    out: dict[str, Any] = {}
    for name, block in wanted.items():
        codes, labels = (five, FIVE) if "5class" in name else (three, THREE)
        if "pairwise" in block:
            columns = EVALUATORS if name.endswith("_readers") else ["P1-1", "P2", "P3"]
            ratings = np.stack([codes[column] for column in columns], axis=1)
            out[name] = {
                "expected": several_raters(ratings, labels, list(block["expected"])),
                "pairwise": pairwise_block(ratings, columns, len(labels), block["pairwise"]),
            }
            continue
        if "correctness" in name:
            a, b = name.split("correctness_")[1].split("_vs_")
            columns = [np.where(codes[c] == codes["truth"], 0, 1) for c in (a, b)]
            table = confusion.confusion_matrix(*columns, 2)
        else:
            a, b = name.split("_pair_")[1].split("_")
            table = confusion.confusion_matrix(codes[a], codes[b], len(labels))
        found = {key: item for key, item in two_raters(table).items() if key in block["expected"]}
        out[name] = {"table": table.tolist(), "expected": found}
    return out


EVALUATORS = ["AI", "P1-1", "P1-2", "P2", "P3"]
FIVE = ["AML", "ALL", "CML", "CLL", "NONE"]
THREE = ["ACUTE", "CHRONIC", "NONE"]


def reconstruction() -> tuple[dict[str, Any], dict[str, Any]]:
    """Codes of truth and evaluators with five and with three classes."""
    rows = rows_of("leukemia64_reconstruction.csv")
    five = {c: confusion.encode([row[c] for row in rows], FIVE) for c in ("truth", *EVALUATORS)}
    return {c: np.array([0, 0, 1, 1, 2])[codes] for c, codes in five.items()}, five


def test_reconstruction() -> None:
    name = "leukemia64_reconstruction"
    wanted = expected_of(name)
    three, five = reconstruction()
    found: dict[str, Any] = {
        "bootstrap": bootstrap_block(wanted["bootstrap"], five),
        "agreement": agreement_block(wanted["agreement"], three, five),
        "cochran_q": {},
    }
    columns = ["AI", "P1-1", "P2", "P3"]
    for section, codes, k in (("three_class_S1", three, 3), ("five_class_S2", five, 5)):
        found[section] = {}
        for evaluator in EVALUATORS:
            table = confusion.confusion_matrix(codes["truth"], codes[evaluator], k)
            one = one_evaluator(table)
            low, high = intervals.clopper_pearson(np.trace(table), 64)
            macro = one["macro"]["skip_undefined_values"]
            rounded = {m: printed_half_up(macro[m]) for m in ("ppv", "sensitivity", "f1", "specificity")}
            found[section][evaluator] = one | {
                "printed_table_row": {**rounded, "accuracy": printed_half_up(one["accuracy"])},
                "caret_overall": {
                    "Accuracy": one["accuracy"], "Kappa": one["kappa_vs_truth"],
                    "AccuracyLower": float(low), "AccuracyUpper": float(high),
                },
            }  # fmt: skip
        success = np.stack([codes[c] == codes["truth"] for c in columns], axis=1).astype(float)
        result = paired.cochran_q(success)
        found["cochran_q"][f"leukemia64_{k}class_CochranQ_AI_P11_P2_P3"] = {
            "Q": result.statistic, "df": result.df, "p": result.p,
            "col_sums": dict(zip(columns, success.sum(0).tolist(), strict=True)),
        }  # fmt: skip
    reasons = COMMON | BOOTSTRAP_REASONS | WEIGHTED | {
        TABLE_PATTERN: SCOTT,
        r"caret_overall/(AccuracyNull|AccuracyPValue|McnemarPValue)": "not offered: shares of the data, tests on them",
        r"/leukemia64_3class_correctness_AI_vs_P1-1/.*/mcnemar\.midp/": "b = c: half the point probability comes off",
        r"^/mrmc_AI_vs_3_readers/": "walked in test_mrmc_golden.py",
    }  # fmt: skip
    show(name, walk(wanted, found, needed(reasons, wanted)))


def printed_half_up(number: float) -> float:
    return float(printed(number))


def test_definition_traps() -> None:
    wanted = expected_of("definition_traps")
    _, five = reconstruction()
    quadratic = agreement.quadratic_weights
    winnipeg = np.array(expected_of("landiskoch1977_mspatients_Winnipeg")["R_raw"]["table"])
    names = ["Certain", "Probable", "Possible", "Doubtful"]
    alphabetical = np.argsort(names)
    table = confusion.confusion_matrix(five["AI"], five["P1-1"], 5)

    def reordered(order: str) -> float:
        at = [FIVE.index(label) for label in order.split("-")]
        return float(agreement.kappa_values(table[np.ix_(at, at)], quadratic(5)))

    ai5 = confusion.confusion_matrix(five["truth"], five["AI"], 5)
    metrics = classification.class_metrics(ai5)
    ppv, sensitivity = (float(metrics[m].mean()) for m in ("ppv", "sensitivity"))
    _, fp, _, tn = classification.one_vs_rest(ai5)
    rows = rows_of("irr_anxiety.csv")
    anxiety = codes_of(rows, ["rater1", "rater2", "rater3"], list("123456"))
    absent: dict[str, Any] = {}
    for pair in wanted["absent_category_weights_irr_anxiety"]:
        a, b = (int(name[-1]) - 1 for name in pair.split("|"))
        full = confusion.confusion_matrix(anxiety[:, a], anxiety[:, b], 6)
        seen = np.flatnonzero(full.sum(0) + full.sum(1))
        absent[pair] = {"seen": (seen + 1).tolist()}
        for name, weights in (("linear", agreement.linear_weights), ("quadratic", quadratic)):
            part = full[np.ix_(seen, seen)]
            absent[pair][name] = {
                "full": float(agreement.kappa_values(full, weights(6))),
                "observed_only": float(agreement.kappa_values(part, weights(len(seen)))),
            }
    found = {
        "label_order_quadratic_mspatients_Winnipeg": {
            "labels given in clinical order": float(agreement.kappa_values(winnipeg, quadratic(4))),
            "labels omitted -> alphabetical (sklearn)": float(
                agreement.kappa_values(winnipeg[np.ix_(alphabetical, alphabetical)], quadratic(4))
            ),
        },
        "absent_category_weights_irr_anxiety": absent,
        "nominal_leukemia_weighted_kappa_depends_on_label_order_AI_vs_P1-1": {
            order: reordered(order)
            for order in wanted["nominal_leukemia_weighted_kappa_depends_on_label_order_AI_vs_P1-1"]
        },
        "constant_raters": {
            "sklearn both constant": float(agreement.kappa_values([[9, 0], [0, 0]])),
            "one constant": float(agreement.kappa_values([[5, 4], [0, 0]])),
        },
        "macro_F1_mean_of_F1_vs_harmonic_of_macroPR_AI5": {
            "mean of class F1": float(metrics["f1"].mean()),
            "harmonic of macro P and macro R": 2 * ppv * sensitivity / (ppv + sensitivity),
        },
        "specificity_averaging_AI5": {
            "macro": float(metrics["specificity"].mean()),
            "micro": float(tn.sum() / (tn + fp).sum()),
        },
        "accuracy_variants_AI5": {
            "exact match": float(classification.accuracy(ai5)),
            "mean one-vs-rest": float(classification.class_accuracy(ai5).mean()),
            "balanced (mean recall)": float(classification.balanced_accuracy(ai5)),
        },
        "fleiss_all_same_category": multirater.fleiss_kappa(np.zeros((5, 3), dtype=int), 2).value,
    }
    reasons = {
        r"weighted by truth": "support-weighted averages are not offered",
        r"bootstrap_absent_class": "a remark; the bootstrap values themselves are matched in the reconstruction",
    }
    show("definition_traps", walk(wanted, found, reasons))
