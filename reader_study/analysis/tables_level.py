"""Tables of one level of classes: accuracy, agreement, cases, subgroups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leukoweb.statistics.ratings_report import TITLES
from reader_study.analysis.comparisons import METRICS
from reader_study.analysis.table_model import Column, Table
from reader_study.analysis.tables_comparison import comparison_tables
from reader_study.analysis.tables_shared import (
    CLASS_METRICS,
    EXPLORATORY,
    Result,
    Row,
    kappa_note,
    level_table,
    main_names,
    metric_title,
    row_mark,
    slug,
    table_mark,
    undecided_note,
)

PAPER_COLUMNS = (
    ("macro_ppv", "Precision/PPV"), ("macro_sensitivity", "Sensitivity/recall"), ("macro_f1", "F1"),
    ("accuracy", "Accuracy"), ("macro_specificity", "Specificity"),
)  # fmt: skip
MACRO_NOTE = "Macro averages: unweighted means over the classes; F1 is the mean of the class F1s."


def level_tables(result: Result, level: Result) -> Iterator[Table]:
    yield _evaluators(result, level)
    yield _per_class(result, level)
    yield _binary(result, level)
    for evaluator in result["evaluators"]:
        yield _confusion(evaluator["name"], level)
    yield _undecided(level)
    yield _pairs(result, level)
    yield _kappa_ranges(result, level)
    yield _together(result, level)
    yield _intra(result, level)
    yield _changed(level)
    yield from comparison_tables(result, level)
    yield _patterns(result, level)
    yield _discordant_cases(level)
    yield _subgroups(result, level)


def _evaluators(result: Result, level: Result) -> Table:
    rows, main = [], main_names(result)
    for about in result["evaluators"]:
        found = level["evaluators"][about["name"]]
        row: Row = {"evaluator": about["name"], "n": found["n"], "kappa": found["kappa_with_reference"]}
        row |= {key: found[key] for key, _ in PAPER_COLUMNS} | {"mcc": found["mcc"]}
        rows.append(row | row_mark(result, endpoint=about["name"] in main))
    columns = [
        Column("evaluator", "Evaluator"), Column("n", "n", "int"),
        *(Column(key, title, "estimate") for key, title in PAPER_COLUMNS),
        Column("kappa", "Kappa with reference", "estimate"), Column("mcc", "Matthews correlation", "estimate"),
    ]  # fmt: skip
    percent = f"{100 * result['plan']['level']:g}"
    notes = (MACRO_NOTE, f"Brackets: {percent} % intervals; the method of each is in the exports.",
             *undecided_note(result, level, wrong_here=False))  # fmt: skip
    marks = table_mark(result, level, [(key, "none") for key, _ in PAPER_COLUMNS], left_out=True)
    if marks != EXPLORATORY and any(row.get("mark") for row in rows):
        notes = (*notes, "Rows but those of the AI and of primary sessions are exploratory.")
    return level_table(level, "metrics", "Evaluators", "accuracy", columns, rows, mark=marks, notes=notes)


def _per_class(result: Result, level: Result) -> Table:
    rows = [
        {"class": name, "evaluator": about["name"]} | level["evaluators"][about["name"]]["per_class"][name]
        for name in level["classes"]
        for about in result["evaluators"]
    ]
    columns = [
        Column("class", "Class", "class"), Column("evaluator", "Evaluator"),
        *(Column(metric, TITLES[metric], "estimate") for metric in CLASS_METRICS),
    ]  # fmt: skip
    notes = undecided_note(result, level, wrong_here=False)
    return level_table(level, "classes", "Each class against the rest", "accuracy", columns, rows, notes=notes)


def _binary(result: Result, level: Result) -> Table:
    rows = []
    for about in result["evaluators"]:
        found = level["evaluators"][about["name"]].get("binary")
        if found:
            rows.append({"evaluator": about["name"]} | {m: found[m] for m in (*CLASS_METRICS, "accuracy")})
    columns = [
        Column("evaluator", "Evaluator"),
        *(Column(m, TITLES[m], "estimate") for m in ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")),
    ]
    title = f"Positive ({', '.join(level['positive'])}) against the rest"
    notes = undecided_note(result, level, wrong_here=False)
    return level_table(level, "positive", title, "accuracy", columns, rows, notes=notes)


def _confusion(name: str, level: Result) -> Table:
    classes, found = level["classes"], level["evaluators"][name]
    rows = [
        {"reference": label, "total": sum(row)} | dict(zip(classes, row, strict=True))
        for label, row in zip(classes, found["confusion"], strict=True)
    ]
    columns = [
        Column("reference", "Reference", "class"), *(Column(label, label, "int") for label in classes),
        Column("total", "Total", "int"),
    ]  # fmt: skip
    notes = ["Rows: reference. Columns: what the evaluator said."]
    if found.get("missing"):
        notes.append(f"{found['missing']} cases without a class from {name} are not in the table.")
    title = f"Confusion matrix of {name}"
    return level_table(level, f"confusion-{slug(name)}", title, "accuracy", columns, rows, notes=tuple(notes))


def _undecided(level: Result) -> Table:
    rows = [
        {
            "evaluator": found["evaluator"], "undecided": found["n_undecided"], "unread": found["n_unread"],
            "counted": words, **found[key],
        }
        for found in level["undecided"]
        for key, words in (("left_out", "left out"), ("wrong", "wrong (worst case)"), ("right", "right (best case)"))
    ]  # fmt: skip
    columns = [
        Column("evaluator", "Evaluator"), Column("undecided", "Undecided", "int"), Column("unread", "Unread", "int"),
        Column("counted", "Undecided counted as"),
        *(Column(m, metric_title(m), "estimate") for m in METRICS),
    ]  # fmt: skip
    return level_table(level, "undecided", "Undecided answers", "accuracy", columns, rows)


KAPPA_PAIRS = [  # endpoints whose pairs stand one by one
    ("inter_observer_kappa", "none"), ("intra_observer_kappa", "none"), ("ai_reader_kappa", "none"),
    ("ai_reader_kappa", "ai_vs_each_reader"),
]  # fmt: skip
KINDS = {"ai-reader": "AI and reader", "reader-reader": "two readers", "intra-observer": "one reader, two sessions"}


def _pair_row(pair: Mapping[str, Any]) -> Row:
    return {
        "first": pair["a"], "second": pair["b"], "kind": KINDS.get(pair["kind"], pair["kind"]),
        "primary": pair["primary"], "n": pair["n"], "agreement": pair["percent_agreement"], "kappa": pair["kappa"],
        "expected": pair["kappa"].get("expected_agreement"), "pabak": pair["pabak"],
    }  # fmt: skip


PAIR_COLUMNS = (
    Column("first", "First"), Column("second", "Second"), Column("kind", "Pair"),
    Column("primary", "Primary sessions", "bool"), Column("n", "n", "int"),
    Column("kappa", "Cohen's kappa", "estimate"), Column("agreement", "Agreement", "estimate"),
    Column("expected", "Expected by chance", "number"), Column("pabak", "PABAK", "estimate"),
)  # fmt: skip


def _pairs(result: Result, level: Result) -> Table:
    rows = [_pair_row(pair) | row_mark(result, endpoint=pair["primary"]) for pair in level["pairwise"]]
    rows += [_pair_row(pair) for pair in level["intra_observer"]]
    marks = table_mark(result, level, KAPPA_PAIRS)
    note = "Unweighted kappa, for diagnoses have no order. PABAK shows how far prevalence drives kappa."
    return level_table(level, "pairs", "Agreement of pairs", "agreement", PAIR_COLUMNS, rows, mark=marks,
                       notes=(note, *kappa_note(result, level)))  # fmt: skip


def _kappa_ranges(result: Result, level: Result) -> Table:
    summary = level["kappa_summary"] or {}
    rows = []
    for kind, title in (("ai-reader", "AI and readers"), ("reader-reader", "between readers")):
        found = summary.get(kind)
        if found and found["n_pairs"]:
            rows.append({"pairs": title, "n": found["n_pairs"], "lowest": found["lowest"], "highest": found["highest"],
                         "mean": found.get("mean")})  # fmt: skip
    if "difference" in summary:
        rows.append({"pairs": "difference of the means", "n": None, "lowest": None, "highest": None,
                     "mean": summary["difference"]})  # fmt: skip
    columns = [
        Column("pairs", "Pairs"), Column("n", "Pairs, n", "int"), Column("lowest", "Lowest kappa", "number"),
        Column("highest", "Highest kappa", "number"), Column("mean", "Mean kappa", "estimate"),
    ]  # fmt: skip
    note = "Primary sessions. Two ranges that do not overlap prove nothing; the interval of the difference does."
    shown = [(f"{kind}_kappa", c) for kind in ("inter_observer", "ai_reader") for c in ("none", "ai_vs_reader_mean")]
    marks = table_mark(result, level, shown, since=3)
    return level_table(level, "kappa_ranges", "Kappa in short", "agreement", columns, rows, mark=marks,
                       notes=(note, *kappa_note(result, level)))  # fmt: skip


def _together(result: Result, level: Result) -> Table:
    found = level["multi_rater"] or {}
    rows = [
        {"coefficient": TITLES[name], "n": found[name]["n_items"], "value": found[name]}
        for name in TITLES
        if name in found
    ]
    columns = Column("coefficient", "Coefficient"), Column("n", "Cases", "int"), Column("value", "Value", "estimate")
    note = "These are different coefficients with different treatment of missing reads; a report says which it shows."
    notes = note, *kappa_note(result, level)
    return level_table(level, "together", "Readers together", "agreement", columns, rows, notes=notes)


def _intra(result: Result, level: Result) -> Table:
    rows = [
        _pair_row(pair)
        | {
            "reader": pair["reader"], "mcnemar": pair.get("mcnemar_exact_p"),
            "shift": (pair.get("stuart_maxwell") or {}).get("p"),
        }
        for pair in level["intra_observer"]
    ]  # fmt: skip
    columns = [
        Column("reader", "Reader"), Column("first", "First"), Column("second", "Second"), Column("n", "n", "int"),
        Column("kappa", "Cohen's kappa", "estimate"), Column("agreement", "Agreement", "estimate"),
        Column("mcnemar", "More often right in one? p", "p"), Column("shift", "Other classes in one? p", "p"),
    ]  # fmt: skip
    note = "McNemar exact on right and wrong; Stuart-Maxwell on the classes given. Sessions are not pooled."
    marks = table_mark(result, level, [("intra_observer_kappa", "none")], since=3)
    return level_table(level, "intra", "Agreement of a reader with themself", "agreement", columns, rows, mark=marks,
                       notes=(note, *kappa_note(result, level, " Both tests leave them out as well.")))  # fmt: skip


def _changed(level: Result) -> Table:
    columns = [
        Column("reader", "Reader"), Column("case", "Case", "case"), Column("reference", "Reference", "class"),
        Column("first", "First session"), Column("before", "Said", "class"), Column("second", "Second session"),
        Column("after", "Said then", "class"), Column("change", "Change"),
    ]  # fmt: skip
    return level_table(level, "changed", "Cases that a reader changed", "agreement", columns, level["changed"])


def _patterns(result: Result, level: Result) -> Table:
    found = level["discordance"] or {"patterns": [], "n_readers": 0}
    rows = [
        {"readers": f"{row['readers_right']} of {found['n_readers']}", "right": row["right"], "wrong": row["wrong"],
         "none": row["none"], "total": row["right"] + row["wrong"] + row["none"]}
        for row in found["patterns"]
    ]  # fmt: skip
    columns = [
        Column("readers", "Readers right"), Column("right", "AI right", "int"), Column("wrong", "AI wrong", "int"),
        Column("none", "AI without answer", "int"), Column("total", "Cases", "int"),
    ]  # fmt: skip
    note = "Primary sessions. A reader who was undecided, or did not read the case, is not among those who were right"
    notes = (f"{note}; an AI without a class stands apart from one that was wrong.",)
    return level_table(level, "discordance", "Readers against AI, case by case", "cases", columns, rows, notes=notes)


def _discordant_cases(level: Result) -> Table:
    found = level["discordance"] or {"cases": [], "readers": []}
    rows = [
        {"case": row["case"], "reference": row["reference"], "ai": row["ai"], "ai_is": row["ai_is"],
         "readers_right": row["readers_right"], "agree": row["agree"]}
        | {f"said_{name}": said for name, said in row["readers"].items()}
        for row in found["cases"]
    ]  # fmt: skip
    columns = [
        Column("case", "Case", "case"), Column("reference", "Reference", "class"), Column("ai", "AI", "class"),
        Column("ai_is", "AI is"), *(Column(f"said_{name}", name, "class") for name in found["readers"]),
        Column("readers_right", "Readers right", "int"), Column("agree", "Readers with AI", "int"),
    ]  # fmt: skip
    notes = ("All cases but those that everybody got right.",)
    return level_table(level, "discordant_cases", "Discordant cases", "cases", columns, rows, notes=notes)


def _subgroups(result: Result, level: Result) -> Table:
    rows = [
        {"field": row["field"], "group": row["group"], "n": row["n"]}
        | {f"accuracy_{name}": share for name, share in row["accuracy"].items()}
        for row in level["subgroups"]
    ]
    names = [e["name"] for e in result["evaluators"] if any(e["name"] in r["accuracy"] for r in level["subgroups"])]
    columns = [
        Column("field", "Field"), Column("group", "Group"), Column("n", "Cases", "int"),
        *(Column(f"accuracy_{name}", name, "estimate") for name in names),
    ]  # fmt: skip
    note = "Accuracy in parts of the cases. Many small groups: differences between them are expected by chance."
    notes = note, *undecided_note(result, level, wrong_here=False)
    return level_table(level, "subgroups", "Subgroups", "sessions", columns, rows, notes=notes)
