"""What the library finds for each kind of golden data, in the shape of the golden files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from leukoweb.statistics import agreement, classification, krippendorff, multirater, paired
from leukoweb.statistics.confusion import Ints, confusion_matrix, encode, pairwise_tables
from leukoweb.statistics.intervals import z_quantile

WEIGHTS = {
    "unweighted": agreement.identity_weights,
    "linear": agreement.linear_weights,
    "quadratic": agreement.quadratic_weights,
    "ordinal": agreement.ordinal_weights,
}
Z = z_quantile(0.95)


def value(number: Any) -> dict[str, Any]:
    return {"value": float(number)}


def spread(kappa: agreement.Kappa) -> list[float]:
    """Analytic limits also where the standard error is 0, which the library refuses to show."""
    centre, se = kappa.result.estimate, kappa.result.se or 0.0
    return [centre - Z * se, centre + Z * se]


def codes_of(rows: list[dict[str, str]], columns: list[str], classes: list[str]) -> Ints:
    return np.stack([encode([row[c].replace("NA", "") for row in rows], classes) for c in columns], axis=1)


def expanded(table: np.ndarray) -> Ints:
    """One row per case from a table of two raters.  # (n, 2)"""
    cells = np.repeat(np.arange(table.size), table.astype(int).ravel())
    return np.stack(np.divmod(cells, table.shape[0]), axis=1)


def two_raters(table: Any) -> dict[str, Any]:
    """The ``expected`` block of two raters."""
    counts = np.asarray(table, dtype=np.float64)
    k, reads = counts.shape[0], expanded(counts)
    out: dict[str, Any] = {}
    for name in ("unweighted", "linear", "quadratic"):
        weights = WEIGHTS[name](k)
        kappa = agreement.cohen_kappa(counts, weights)
        out |= {
            f"cohen_kappa.{name}": value(kappa.result.estimate),
            f"cohen_kappa.{name}.ase": value(kappa.result.se or 0.0),
            f"cohen_kappa.{name}.se_null": value(kappa.se_null),
            f"cohen_kappa.{name}.ci95": {"value": spread(kappa)},
        }
        ac = "gwet_ac1" if name == "unweighted" else "gwet_ac2"
        coefficients = {
            "scott_pi": multirater.fleiss_kappa_missing,
            ac: multirater.gwet_ac,
            "brennan_prediger": multirater.brennan_prediger,
        }
        for label, function in coefficients.items():
            found = function(reads, k, weights)
            out[f"{label}.{name}"] = value(found.value)
            out[f"{label}.{name}.se"] = value(found.se(ddof=0))
            out[f"{label}.{name}.se_divisor_n_minus_1"] = value(found.se())
        alpha = krippendorff.krippendorff_linearised(reads, k, weights)
        out[f"krippendorff_alpha_2raters.{name}"] = value(alpha.value)
    unweighted = agreement.cohen_kappa(counts)
    out |= {"po": value(unweighted.observed), "pe": value(unweighted.expected)}
    return out | (_two_classes(counts) if k == 2 else _many_classes(counts))


def _two_classes(counts: np.ndarray) -> dict[str, Any]:
    b, c, n = int(counts[0, 1]), int(counts[1, 0]), int(counts.sum())
    chi2, corrected = paired.mcnemar(b, c, method="chi-square"), paired.mcnemar(b, c, method="corrected")
    tango, agresti = paired.paired_difference(c, b, n), paired.agresti_min(c, b, n)
    return {
        "mcnemar.b_c": {"value": [b, c]},
        "mcnemar.exact_p": value(paired.mcnemar(b, c).p),
        "mcnemar.midp": value(paired.mcnemar(b, c, method="mid-p").p),
        "mcnemar.chi2": value(chi2.statistic),
        "mcnemar.chi2_p": value(chi2.p),
        "mcnemar.chi2_cc": value(corrected.statistic),
        "mcnemar.chi2_cc_p": value(corrected.p),
        "paired_difference.tango.ci95": {"value": [tango.low, tango.high]},
        "paired_difference.agresti_min.ci95": {"value": [agresti.low, agresti.high]},
    }


def _many_classes(counts: np.ndarray) -> dict[str, Any]:
    maxwell, bowker, bhapkar = paired.stuart_maxwell(counts), paired.bowker(counts), paired.bhapkar(counts)
    return {
        "stuart_maxwell.chi2": value(maxwell.statistic),
        "stuart_maxwell.df": value(maxwell.df),
        "stuart_maxwell.p": value(maxwell.p),
        "bowker.chi2": value(bowker.statistic),
        "bowker.df_nonempty_pairs": value(bowker.df),
        "bowker.p_df_nonempty": value(bowker.p),
        "bowker.p_df_full": value(paired.bowker(counts, all_pairs=True).p),
        "bhapkar.chi2": value(bhapkar.statistic),
    }


def two_raters_raw(table: Any) -> dict[str, Any]:
    """What the R packages print for a table of two raters."""
    counts = np.asarray(table, dtype=np.float64)
    k, n, reads = counts.shape[0], int(counts.sum()), expanded(np.asarray(table, dtype=np.float64))
    kappas = {name: agreement.cohen_kappa(counts, WEIGHTS[name](k)) for name in ("unweighted", "linear", "quadratic")}
    plain = kappas["unweighted"]
    se = plain.result.se or 0.0
    maxwell, bhapkar = paired.stuart_maxwell(counts), paired.bhapkar(counts)
    symmetry = paired.bowker(counts, all_pairs=True)
    out: dict[str, Any] = {
        "table": counts.astype(int).tolist(),
        "n": n,
        "po": plain.observed,
        "pe": plain.expected,
        "vcd::Kappa": {
            name: {"value": x.result.estimate, "ase": x.result.se, "ci": spread(x)} for name, x in kappas.items()
        },
        "psych::cohen.kappa": {
            name: {"value": x.result.estimate, "se": x.result.se} for name, x in kappas.items()
        },
        "epiR::epi.kappa(fleiss)": {
            "kappa": [plain.result.estimate, plain.se_null],
            "pabak": [float(agreement.pabak(counts))],
        },
        "stats::mcnemar.test(correct=FALSE) [=McNemar k=2, Bowker k>2]": {
            "chi2": symmetry.statistic, "df": symmetry.df, "p": symmetry.p,
        },
        "irr::stuart.maxwell.mh": {"chi2": maxwell.statistic, "df": maxwell.df, "p": maxwell.p},
        "DescTools::StuartMaxwellTest": {"chi2": [[maxwell.statistic]], "df": maxwell.df, "p": [[maxwell.p]]},
        "irr::bhapkar": {"chi2": bhapkar.statistic, "p": bhapkar.p},
        "coin::mh_test": {"chi2": maxwell.statistic, "p": maxwell.p},
    }  # fmt: skip
    out["psych::cohen.kappa"]["unweighted"] |= {"var": se**2, "ci": spread(plain)}
    for name, irr, desc in (
        ("unweighted", "unweighted", "Unweighted"),
        ("linear", "equal", "Equal-Spacing"),
        ("quadratic", "squared", "Fleiss-Cohen"),
    ):
        x, weights = kappas[name], WEIGHTS[name](k)
        out[f"irr::kappa2.{irr}"] = {"value": x.result.estimate, "z": x.z, "se_null": x.se_null, "p": x.p}
        out[f"DescTools::CohenKappa.{desc}"] = [x.result.estimate, *spread(x)]
        found = {
            "scott2": multirater.fleiss_kappa_missing(reads, k, weights),
            "gwet.ac1": multirater.gwet_ac(reads, k, weights),
            "bp2": multirater.brennan_prediger(reads, k, weights),
            "pa2": multirater.percent_agreement(reads, k, weights),
        }
        for label, c in found.items():
            out[f"irrCAC::{label}.table.{name}"] = {"value": c.value, "se": c.se(ddof=0)}
        out[f"irrCAC::kappa2.table.{name}"] = {"value": x.result.estimate, "se": x.result.se}
        alpha = krippendorff.krippendorff_linearised(reads, k, weights)
        out[f"irrCAC::krippen2.table.{name}"] = {"value": alpha.value}
    return out


COEFFICIENTS = {
    "percent_agreement": multirater.percent_agreement,
    "gwet_ac1": multirater.gwet_ac,
    "gwet_ac2": multirater.gwet_ac,
    "fleiss_kappa_gwet_missing": multirater.fleiss_kappa_missing,
    "brennan_prediger": multirater.brennan_prediger,
    "conger_kappa_gwet_missing": multirater.conger_kappa_missing,
}
IRRCAC = {
    "pa.coeff": multirater.percent_agreement,
    "fleiss.kappa": multirater.fleiss_kappa_missing,
    "conger.kappa": multirater.conger_kappa_missing,
    "gwet.ac1": multirater.gwet_ac,
    "krippen.alpha": krippendorff.krippendorff_linearised,
    "bp.coeff": multirater.brennan_prediger,
}


def several_raters(ratings: Ints, classes: list[str], keys: list[str]) -> dict[str, Any]:
    """The ``expected`` block of several raters, for the keys that it has."""
    k = len(classes)
    complete = multirater.complete_cases(ratings, k)
    by_class = multirater.fleiss_category_kappas(ratings, k)
    out: dict[str, Any] = {
        "fleiss_kappa.complete_cases": value(multirater.fleiss_kappa(ratings, k).value),
        "fleiss_kappa.se_null.complete_cases": value(multirater.fleiss_null_se(ratings, k)),
        "randolph_kappa.complete_cases": value(multirater.brennan_prediger(complete, k).value),
        "conger_kappa.complete_cases": value(multirater.conger_kappa(ratings, k).value),
        "light_kappa.complete_cases": value(multirater.light_kappa(ratings, k)),
        "light_kappa.pairwise_complete": value(multirater.light_kappa(ratings, k, complete=False)),
    }
    for metric in ("nominal", "ordinal", "interval"):
        out[f"krippendorff_alpha.{metric}"] = value(krippendorff.krippendorff_alpha(ratings, k, metric))
    for label, one in zip(classes, by_class, strict=True):
        out[f"fleiss_category_kappa[{label}].complete_cases"] = value(one)
    for name, weights in WEIGHTS.items():
        for label, function in COEFFICIENTS.items():
            found = function(ratings, k, weights(k))
            out[f"{label}.{name}"] = value(found.value)
            out[f"{label}.{name}.se"] = value(found.se())
            if label == "conger_kappa_gwet_missing":
                out[f"{label}.{name}"]["se_irrCAC"] = found.se()
        alpha = krippendorff.krippendorff_linearised(ratings, k, weights(k))
        out[f"krippendorff_alpha_irrCAC.{name}.se"] = value(alpha.se())
    return {key: item for key, item in out.items() if key in keys}


def pairwise_block(ratings: Ints, names: list[str], k: int, wanted: dict[str, Any]) -> dict[str, Any]:
    """The ``pairwise_cohen_kappa`` block."""
    arrays = {name: agreement.pairwise_kappa(ratings, k, WEIGHTS[name](k)) for name in WEIGHTS}
    out: dict[str, Any] = {}
    for pair, blocks in wanted.items():
        at = tuple(names.index(name) for name in pair.split("|"))
        out[pair] = {
            name: {
                "value": float(arrays[name].kappa[at]),
                "ase": float(arrays[name].se[at]),
                "se_null": float(arrays[name].se_null[at]),
                "n": int(arrays[name].n[at]),
                "po": float(arrays[name].observed[at]),
                "pe": float(arrays[name].expected[at]),
            }
            for name in blocks
        }
    return out


def several_raters_raw(ratings: Ints, names: list[str], classes: list[str], wanted: dict[str, Any]) -> dict[str, Any]:
    """What the R packages print for several raters."""
    k = len(classes)
    used = len(multirater.complete_cases(ratings, k))
    fleiss, null = multirater.fleiss_kappa(ratings, k).value, multirater.fleiss_null_se(ratings, k)
    out: dict[str, Any] = {
        "n_items": len(ratings),
        "n_raters": len(names),
        "n_missing": int((ratings < 0).sum()),
        "irr::kappam.fleiss(exact=FALSE)": {
            "value": fleiss, "z_null": fleiss / null, "se_null": null, "n_used": used,
            "p": float(2 * stats.norm.sf(abs(fleiss / null))),
        },
        "irr::kappam.fleiss(exact=TRUE) [Conger]": {"value": multirater.conger_kappa(ratings, k).value, "n_used": used},
        "irr::kappam.light": {"value": multirater.light_kappa(ratings, k), "n_used": used},
        "Fleiss category kappas (formula of irr::kappam.fleiss(detail=TRUE), unrounded; complete cases)": dict(
            zip(classes, map(float, multirater.fleiss_category_kappas(ratings, k)), strict=True)
        ),
        "mean_pairwise_kappa": multirater.light_kappa(ratings, k, complete=False),
    }  # fmt: skip
    for metric in ("nominal", "ordinal", "interval"):
        alpha = krippendorff.krippendorff_alpha(ratings, k, metric)
        out[f"irr::kripp.alpha.{metric}"] = out[f"DescTools::KrippAlpha.{metric}"] = alpha
    n = int(np.any(ratings >= 0, axis=1).sum())
    for name, weights in WEIGHTS.items():
        for label, function in IRRCAC.items():
            c = function(ratings, k, weights(k))
            out[f"irrCAC1.4::{label}.raw.{name}"] = {
                "value": c.value,
                "pa": c.observed,
                "pe": c.expected,
                "se": c.se(),
                "p_onesided": float(stats.t.sf(c.value / c.se(), n - 1)),
            }
    out = {key: item for key, item in out.items() if key in wanted}
    pairs = pairwise_tables(ratings, k)
    block: dict[str, Any] = {}
    for pair in wanted["pairwise_vcd_full_label_set"]:
        table = pairs[tuple(names.index(name) for name in pair.split("|"))]
        kappas = {w: agreement.cohen_kappa(table, WEIGHTS[w](k)).result for w in ("unweighted", "linear", "quadratic")}
        block[pair] = {
            "n": int(table.sum()),
            "po": float(np.trace(table) / table.sum()),
            "kappa": kappas["unweighted"].estimate,
            "ase": kappas["unweighted"].se,
            "linear": kappas["linear"].estimate,
            "linear_ase": kappas["linear"].se,
            "quadratic": kappas["quadratic"].estimate,
            "quadratic_ase": kappas["quadratic"].se,
        }
    return out | {"pairwise_vcd_full_label_set": block}


POLICIES: dict[str, dict[str, Any]] = {
    "all_labels_undefined_as_0": {"zero_division": "zero"},
    "all_labels_undefined_as_1": {"zero_division": "one"},
    "classes_present_in_truth__undefined_as_0": {"zero_division": "zero", "among": "reference"},
    "classes_in_truth_or_prediction__undefined_as_0": {"zero_division": "zero", "among": "seen"},
    "skip_undefined_values": {"zero_division": "exclude"},
}


def one_evaluator(table: Any) -> dict[str, Any]:
    """The block of one confusion matrix."""
    counts = np.asarray(table, dtype=np.float64)
    tp, fp, fn, tn = classification.one_vs_rest(counts)
    # 0/0 only: the golden files leave n/n defined for a class that nobody has and nobody gave
    metrics = classification.class_metrics(counts, absent="formula")
    macro = {
        policy: {
            name: float(classification.macro_average(values, table=counts, **options).value)
            for name, values in metrics.items()
        }
        for policy, options in POLICIES.items()
    }
    three = ("ppv", "sensitivity", "f1")
    sklearn = {
        "sklearn macro zero_division=0": "all_labels_undefined_as_0",
        "sklearn macro zero_division=1": "all_labels_undefined_as_1",
        "sklearn macro zero_division=nan": "skip_undefined_values",
        "sklearn macro, labels omitted (only labels seen), zero_division=0": (
            "classes_in_truth_or_prediction__undefined_as_0"
        ),
    }
    balanced = float(classification.balanced_accuracy(counts))
    return {
        "confusion_rows_truth": counts.tolist(),
        "N": float(counts.sum()),
        "per_class": {
            **{"TP": tp.tolist(), "FP": fp.tolist(), "FN": fn.tolist(), "TN": tn.tolist()},
            **{name: values.tolist() for name, values in metrics.items()},
            "balanced_accuracy_ovr": ((metrics["sensitivity"] + metrics["specificity"]) / 2).tolist(),
            "accuracy_ovr": classification.class_accuracy(counts).tolist(),
        },
        "accuracy": float(classification.accuracy(counts)),
        "kappa_vs_truth": float(agreement.kappa_values(counts)),
        "mcc": float(classification.matthews(counts, undefined=0.0)),
        "macro": macro,
        "balanced_accuracy": balanced,
        "sklearn": {
            **{name: {m: macro[policy][m] for m in three} for name, policy in sklearn.items()},
            "sklearn balanced_accuracy_score": balanced,
        },
    }


def observer(truth: Ints, read: Ints) -> dict[str, Any]:
    """The block of one binary reader: class 1 is positive."""
    counts = confusion_matrix(truth, read, 2)
    metrics = {name: float(values[1]) for name, values in classification.class_metrics(counts).items()}
    return {
        **metrics,
        "accuracy": float(classification.accuracy(counts)),
        "balanced_accuracy": float(classification.balanced_accuracy(counts)),
        "mcc": float(classification.matthews(counts)),
        "kappa_vs_truth": float(agreement.kappa_values(counts)),
        "confusion_rows_truth": counts.tolist(),
    }
