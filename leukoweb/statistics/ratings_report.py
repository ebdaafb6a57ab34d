"""The result of ``analyse_ratings`` as a text for a manuscript and as a flat CSV.

The text rounds to two decimals, half up, as the paper prints; the CSV carries every digit, the raw counts, and the
interval's method and level with each number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from leukoweb.statistics.cells import safe_cell

MACROS = ("accuracy", "macro_sensitivity", "macro_specificity", "macro_ppv", "macro_f1")
CLASS_METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1")
TITLES = {
    "accuracy": "Accuracy",
    "macro_sensitivity": "Sensitivity",
    "macro_specificity": "Specificity",
    "macro_ppv": "PPV",
    "macro_npv": "NPV",
    "macro_f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "percent_agreement": "Percent agreement",
    "fleiss_kappa": "Fleiss kappa, complete cases",
    "fleiss_kappa_missing": "Fleiss kappa, all reads (Gwet)",
    "conger_kappa": "Conger kappa, complete cases",
    "light_kappa": "Light kappa, complete cases",
    "krippendorff_alpha": "Krippendorff alpha, nominal",
    "krippendorff_alpha_ordinal": "Krippendorff alpha, ordinal (declared order)",
    "krippendorff_alpha_interval": "Krippendorff alpha, interval (declared order)",
    "gwet_ac1": "Gwet AC1",
    "brennan_prediger": "Brennan-Prediger",
}
CSV_HEADER = (
    "section", "evaluator", "other", "metric", "class", "estimate", "low", "high", "se", "statistic", "df", "p", "n",
    "numerator", "denominator", "method", "level", "note",
)  # fmt: skip
RESEARCH = "Research use only. Not for diagnosis."


def printed(value: float | None, digits: int = 2) -> str:
    """Decimal rounding half up; ``-`` for undefined.

    Twelve digits first, so that a fraction that is exactly half (0.625) is not read as a little less.

    Example
    -------
    >>> printed(0.625), printed(None)
    ('0.63', '-')
    """
    if value is None:
        return "-"
    step = Decimal(1).scaleb(-digits)
    rounded = Decimal(repr(round(value, 12))).quantize(step, rounding=ROUND_HALF_UP)
    return str(rounded if rounded else abs(rounded))


def p_text(value: float | None) -> str:
    """A p value with three decimals, ``<0.001`` below that, ``-`` for undefined.

    Example
    -------
    >>> p_text(0.0004), p_text(0.0125)
    ('<0.001', '0.013')
    """
    return "-" if value is None else "<0.001" if value < 0.001 else printed(value, 3)


def interval_text(item: Mapping[str, Any]) -> str:
    """``0.70 (0.58 to 0.80)``; ``0.70 (no interval)``; ``-``."""
    if item["estimate"] is None:
        return "-"
    if item["low"] is None or item["high"] is None:
        return f"{printed(item['estimate'])} (no interval)"
    return f"{printed(item['estimate'])} ({printed(item['low'])} to {printed(item['high'])})"


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(str(row[c])) for row in (header, *rows)) for c in range(len(header))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return [title, lines[0], "-" * len(lines[0]), *lines[1:], ""]


def report_text(result: Mapping[str, Any]) -> str:
    """Methods, tables and notes, ready to be pasted into a manuscript."""
    lines = [*_methods(result["design"]), *_evaluator_tables(result)]
    lines += _agreement_tables(result)
    if result["ai_vs_readers"]:
        lines += _ai_table(result)
    if result["paired"]:
        lines += _paired_table(result)
    notes = [*result["design"]["notes"], RESEARCH]
    return "\n".join([*lines, "Notes", *(f"- {note}" for note in notes)]) + "\n"


def _methods(design: Mapping[str, Any]) -> list[str]:
    percent = printed(100 * design["level"], 1).removesuffix(".0")
    classes = ", ".join(design["classes"])
    out = [f"Reader study: {design['n_cases']} cases, {len(design['classes'])} classes ({classes})", "", "Methods"]
    if design["reference"]:
        counts = ", ".join(f"{label} {n}" for label, n in design["reference_counts"].items())
        out.append(f"Reference: {design['reference']} ({counts}).")
    out.append(f"Evaluators: {', '.join(design['evaluators'])}; the AI is {design['ai'] or 'not among them'}.")
    for reader, sessions in design["sessions"].items():
        out.append(f"Sessions of {reader}: {', '.join(sessions)}; {sessions[0]} is primary, the others are not pooled.")
    out.append(
        f"Intervals are two-sided at {percent} %. Proportions: Wilson; Clopper-Pearson when n < 30 or the "
        "proportion is 0 or 1."
    )
    bootstrap = design["bootstrap"]
    if bootstrap["resamples"]:
        out.append(
            f"Macro averages, F1 and kappas: bootstrap of patients, {bootstrap['resamples']} resamples, "
            f"{bootstrap['strata']} strata, seed {bootstrap['seed']}, {bootstrap['interval']}."
        )
    else:
        out.append(
            "Macro sensitivity and PPV: from the intervals of the classes (MOVER); other macro averages: delta method; "
            "F1: through its Jaccard fraction; kappas: Fleiss-Cohen-Everitt."
        )
    out.append("Macro averages are unweighted means over the classes; F1 is the mean of the class F1s.")
    out.append(f"Undefined classes are {design['undefined_classes']}; '-' marks an undefined value.")
    return [*out, ""]


def _evaluator_tables(result: Mapping[str, Any]) -> list[str]:
    evaluators = {name: e for name, e in result["evaluators"].items() if "confusion" in e}
    if not evaluators:
        return []
    rows = [[name, str(e["n"]), *(interval_text(e[metric]) for metric in MACROS)] for name, e in evaluators.items()]
    out = _table(
        "Evaluators against the reference (macro averages)", ["Evaluator", "n", *(TITLES[m] for m in MACROS)], rows
    )
    if result["design"]["bootstrap"]["resamples"]:
        rows = [
            [name, *(interval_text({**e[m], **e[m].get("analytic", {})}) for m in MACROS[1:])]
            for name, e in evaluators.items()
        ]
        title = "The same macro averages with analytic intervals (MOVER for sensitivity and PPV, else delta method)"
        out += _table(title, ["Evaluator", *(TITLES[m] for m in MACROS[1:])], rows)
    rows = [
        [name, label, *(interval_text(metrics[m]) for m in CLASS_METRICS)]
        for name, e in evaluators.items()
        for label, metrics in e["per_class"].items()
    ]
    out += _table("Per class, one against the rest", ["Evaluator", "Class", *(TITLES[m] for m in CLASS_METRICS)], rows)
    positive = result["design"]["positive"]
    if positive:
        rows = [[name, *(interval_text(e["binary"][m]) for m in CLASS_METRICS)] for name, e in evaluators.items()]
        title = f"Positive ({', '.join(positive)}) against the rest"
        out += _table(title, ["Evaluator", *(TITLES[m] for m in CLASS_METRICS)], rows)
    classes = result["design"]["classes"]
    for name, e in evaluators.items():
        rows = [[label, *map(str, row)] for label, row in zip(classes, e["confusion"], strict=True)]
        out += _table(f"Confusion matrix of {name} (rows = reference, columns = predicted)", ["", *classes], rows)
    return out


def _agreement_tables(result: Mapping[str, Any]) -> list[str]:
    header = ["", "n", "Percent agreement", "Kappa", "SE", "Kappa, linear", "Kappa, quadratic"]

    def row(name: str, pair: Mapping[str, Any]) -> list[str]:
        kappas = [interval_text(pair[key]) for key in ("kappa", "kappa_linear", "kappa_quadratic")]
        agreement = interval_text(pair["percent_agreement"])
        return [name, str(pair["n"]), agreement, kappas[0], printed(pair["kappa"]["se"], 3), *kappas[1:]]

    order = ", ".join(result["design"]["weighted_kappa_order"])
    out = []
    if result["pairwise"]:
        rows = [row(f"{pair['a']} and {pair['b']}", pair) for pair in result["pairwise"]]
        out += _table(f"Pairwise agreement (Cohen; weighted kappas on the order {order})", header, rows)
    if result["intra_observer"]:
        rows = [row(f"{pair['reader']}: {pair['a']}, {pair['b']}", pair) for pair in result["intra_observer"]]
        out += _table("Intra-observer agreement", header, rows)
    if result["multi_rater"]:
        readers = ", ".join(result["design"]["primary_sessions"])
        rows = [
            [TITLES[name], str(item["n_items"]), interval_text(item), printed(item["se"], 3)]
            for name, item in result["multi_rater"].items()
        ]
        out += _table(f"Agreement of the readers together ({readers})", ["Coefficient", "n", "Estimate", "SE"], rows)
    return out


def _comparisons(section: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """Names and numbers of a section, those of the binary table last."""
    for name, item in (section or {}).items():
        if name == "binary":
            yield from item.items()
        else:
            yield name, item


def _ai_table(result: Mapping[str, Any]) -> list[str]:
    margin = result["design"]["margin"]
    rows = []
    for name, item in _comparisons(result["ai_vs_readers"]):
        shown = interval_text({"estimate": item["difference"], "low": item["low"], "high": item["high"]})
        label = TITLES[name] if not name.startswith("macro_") else f"Macro {TITLES[name]}"
        verdict = {True: "yes", False: "no", None: "-"}[item["non_inferior"]]
        df = printed(item["df"], 1) if item["df"] is not None else "inf"
        cells = [
            printed(item["ai"]),
            printed(item["readers_mean"]),
            shown,
            printed(item["se"], 3),
            df,
            p_text(item["p"]),
        ]
        rows.append([label, str(item["n"]), *cells, verdict])
    title = "AI minus the mean of the readers (random readers and cases, one fixed AI)"
    limit = f"Non-inferior at {margin}" if margin is not None else "Non-inferior"
    return _table(title, ["", "n", "AI", "Readers", "Difference", "SE", "df", "p", limit], rows)


def _paired_table(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for pair in result["paired"]:
        tests = [
            f"{printed(pair[t]['statistic'])} ({printed(pair[t]['df'], 0)}), {p_text(pair[t]['p'])}"
            for t in ("stuart_maxwell", "bowker")
        ]
        rows.append(
            [
                f"{pair['a']} and {pair['b']}",
                p_text(pair["mcnemar_exact_p"]),
                p_text(pair.get("mcnemar_exact_p_holm")),
                *tests,
            ]
        )
    header = ["", "McNemar exact p", "Holm (AI against readers)", "Stuart-Maxwell X2 (df), p", "Bowker X2 (df), p"]
    return _table("Paired tests", header, rows)


def _item_row(where: Sequence[str], item: Mapping[str, Any]) -> list[Any]:
    found = [item.get(name) for name in CSV_HEADER[5:]]
    if "difference" in item and "estimate" not in item:
        found[0] = item["difference"]
    return [*where, *found]


def _flatten(where: list[str], value: Any) -> Iterator[list[Any]]:
    """Rows of one evaluator or pair: estimates, tests, bare numbers; nested classes keep their name."""
    section, evaluator, other, path, label = where
    if isinstance(value, Mapping):
        if {"estimate", "statistic", "difference"} & value.keys():
            yield _item_row(where, value)
            return
        for key, inner in value.items():
            if path in ("per_class", "positive_agreement", "reads"):
                yield from _flatten([section, evaluator, other, path, key], inner)
            else:
                name = f"{path}.{key}" if path and path != "per_class" else key
                yield from _flatten([section, evaluator, other, name, label], inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield _item_row(where, {"estimate": value})


def report_rows(result: Mapping[str, Any]) -> Iterator[list[Any]]:
    """One row per number, columns as in ``CSV_HEADER``; confusion cells as counts."""
    classes = result["design"]["classes"]
    for name, evaluator in result["evaluators"].items():
        for i, row in enumerate(evaluator.get("confusion", [])):
            for j, count in enumerate(row):
                cell = {"estimate": count, "method": "count", "n": evaluator["n"]}
                yield _item_row(["evaluators", name, "", f"confusion to {classes[j]}", classes[i]], cell)
        for label, metrics in evaluator.get("per_class", {}).items():
            for metric, item in metrics.items():
                yield _item_row(["evaluators", name, "", metric, label], item)
        rest = {key: value for key, value in evaluator.items() if key != "per_class"}
        yield from _flatten(["evaluators", name, "", "", ""], rest)
    for section in ("pairwise", "intra_observer", "paired"):
        for pair in result[section]:
            yield from _flatten([section, pair["a"], pair["b"], "", ""], pair)
    for section in ("multi_rater", "ai_vs_readers"):
        for name, item in _comparisons(result[section]):
            yield _item_row([section, "", "", name, ""], item)
            for part in ("ai", "readers_mean"):
                if part in item:
                    yield _item_row([section, "", "", f"{name}.{part}", ""], {"estimate": item[part], "n": item["n"]})
    if result["cochran_q"]:
        yield _item_row(["cochran_q", "", "", "cochran_q", ""], result["cochran_q"])


def report_csv(result: Mapping[str, Any]) -> str:
    """The rows as CSV; a text that a spreadsheet would take for a formula is prefixed with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row in report_rows(result):
        writer.writerow([_safe(value) for value in row])
    return out.getvalue()


def _safe(value: Any) -> Any:
    return "" if value is None else safe_cell(value)
