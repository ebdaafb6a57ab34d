"""Tables of one level of classes that compare: AI with readers, pipelines, with and without the AI result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leukoweb.statistics.ratings_report import TITLES
from reader_study.analysis.arms import over_readers
from reader_study.analysis.comparisons import METRICS
from reader_study.analysis.endpoints import difference_estimate, non_inferiority_words
from reader_study.analysis.levels import FEW_PATIENTS
from reader_study.analysis.table_model import Column, Table
from reader_study.analysis.tables_shared import (
    CLASS_METRICS,
    COMPARED,
    EXPLORATORY,
    Result,
    Row,
    level_table,
    metric_key,
    metric_title,
    ordered,
    row_mark,
    table_mark,
    undecided_note,
)


def comparison_tables(result: Result, level: Result) -> Iterator[Table]:
    yield _against_readers(result, level)
    yield _against_each(result, level)
    yield _comparators(result, level)
    yield _arms(result, level)


def _against_readers(result: Result, level: Result) -> Table:
    found, edition = level["ai_vs_readers"] or {}, result.get("edition", 1)
    names = [(name, found[name], TITLES[name]) for name in COMPARED if name in found]
    names = [(n, f, t if n == "accuracy" else f"Macro {t}") for n, f, t in names]
    names += [
        (n, f, f"{TITLES[n]}, {' or '.join(level['positive'])}")
        for n, f in ordered(found.get("binary"), CLASS_METRICS)
    ]
    rows = [
        {
            "metric": title, "n": f["n"], "dropped": f["n_dropped"], "ai": f["ai"], "readers": f["readers_mean"],
            "difference": difference_estimate(f, edition),
            "fixed": {"estimate": f["difference"], "low": f["fixed_low"], "high": f["fixed_high"], "n": f["n"],
                      "method": "these readers, cases random", "level": f["level"]},
            "p": f["p"], "margin": f["margin"], "reading": non_inferiority_words(f),
        }
        for _, f, title in names
    ]  # fmt: skip
    counts = [Column("n", "n", "int"), Column("dropped", "Left out", "int")] if edition > 2 else []
    columns = [
        Column("metric", "Metric"), *counts, Column("ai", "AI", "number"),
        Column("readers", "Readers' mean", "number"),
        Column("difference", "AI minus readers", "estimate"), Column("fixed", "For these readers alone", "estimate"),
        Column("p", "p", "p"), Column("margin", "Margin", "number"), Column("reading", "Reading"),
    ]  # fmt: skip
    note = (
        "AI as one fixed evaluator, readers and cases random (one-treatment Obuchowski-Rockette); the margin was set "
        "for the endpoints of the protocol and is shown for the other metrics as a yardstick only."
    )
    marks = table_mark(result, level, [(metric, "ai_vs_reader_mean") for metric in COMPARED], left_out=True)
    notes = note, *_dropped_note(result, found), *undecided_note(result, level, wrong_here=False)
    return level_table(level, "ai_readers", "AI minus readers", "comparison", columns, rows, mark=marks, notes=notes)


def _dropped_note(result: Result, found: Result) -> tuple[str, ...]:
    """Why the AI's numbers beside the readers' are not those of its own row."""
    accuracy = found.get("accuracy")
    if not accuracy or not accuracy["n_dropped"]:
        return ()
    return (
        f"Only the {accuracy['n']} cases that the AI and every primary session gave a class for; "
        f"{accuracy['n_dropped']} are left out, so the AI's numbers may differ from those under Evaluators.",
    )


def _against_each(result: Result, level: Result) -> Table:
    rows = [
        {
            "first": pair["a"], "second": pair["b"], "n": pair["n"], "difference": pair["accuracy_difference"],
            "only_first": pair["only_a_correct"], "only_second": pair["only_b_correct"],
            "p": pair["mcnemar_exact_p"], "holm": pair.get("mcnemar_exact_p_holm"), "mid_p": pair["mcnemar_mid_p"],
            "shift": (pair.get("stuart_maxwell") or {}).get("p"),
        }
        | row_mark(result, endpoint=pair["kind"] == "ai-reader" and pair["primary"])
        for pair in level["paired"]
        if "accuracy_difference" in pair
    ]  # fmt: skip
    columns = [
        Column("first", "First"), Column("second", "Second"), Column("n", "n", "int"),
        Column("difference", "Accuracy, first minus second", "estimate"),
        Column("only_first", "Only first right", "int"), Column("only_second", "Only second right", "int"),
        Column("p", "McNemar exact p", "p"), Column("holm", "Holm, AI against readers", "p"),
        Column("mid_p", "mid-p", "p"), Column("shift", "Stuart-Maxwell p", "p"),
    ]  # fmt: skip
    marks = table_mark(result, level, [("accuracy", "ai_vs_each_reader")], left_out=True, since=3)
    others = any(row.get("mark") for row in rows) and marks != EXPLORATORY
    note = ("Pairs of two readers and of second sessions are exploratory.",) if others else ()
    return level_table(level, "each", "Pairs of evaluators, paired tests", "comparison", columns, rows, mark=marks,
                       notes=(*note, *undecided_note(result, level, wrong_here=False)))  # fmt: skip


def _comparators(result: Result, level: Result) -> Table:
    foreign = [e["name"] for e in result["evaluators"] if not e.get("in_protocol", True)]
    rows = [
        {
            "metric": metric_title(name), "first": pair["first"], "second": pair["second"],
            "ai": item["first"], "other": item["second"], "difference": item["difference"],
            "p": pair["mcnemar"]["p"] if name == "accuracy" else None,
        }
        | ({"mark": f"{EXPLORATORY}, not in the protocol"} if pair["second"] in foreign else {})
        for pair in level["comparators"]
        for name, item in ordered(pair["metrics"], METRICS)
    ]  # fmt: skip
    columns = [
        Column("first", "Pipeline"), Column("second", "Comparator"), Column("metric", "Metric"),
        Column("ai", "Pipeline", "estimate"), Column("other", "Comparator", "estimate"),
        Column("difference", "Difference", "estimate"), Column("p", "McNemar exact p", "p"),
    ]  # fmt: skip
    marks = table_mark(result, level, named("ai_vs_comparators"), since=3)
    note = (f"Not in the protocol, so exploratory: {', '.join(foreign)}.",) if foreign and rows else ()
    return level_table(level, "comparators", "Pipeline against comparators", "comparison", columns, rows, mark=marks,
                       notes=(*note, *_pair_notes(result, level, level["comparators"])))  # fmt: skip


def named(comparison: str) -> list[tuple[str, str]]:
    """An endpoint of each of the five metrics with this comparison."""
    return [(metric_key(metric), comparison) for metric in METRICS]


def _pair_notes(result: Result, level: Result, pairs: Sequence[Row]) -> tuple[str, ...]:
    """What pairs do with undecided answers, and where only their differences keep the bootstrap."""
    sides = (item[side] for pair in pairs for item in pair["metrics"].values() for side in ("first", "second"))
    closed = any("bootstrap" in side for side in sides)
    note = (
        f"A class has fewer than {FEW_PATIENTS} patients: macro sensitivity and macro PPV of one evaluator have "
        "analytic intervals (MOVER), differences within pairs keep the bootstrap."
    )
    return (*undecided_note(result, level, wrong_here=True), *((note,) if closed else ()))


def _arm_name(changed: Sequence[Row], own: Row, session: str) -> str:
    """The reader, with the session where the reader has several with the AI."""
    several = sum(row["reader"] == own["reader"] for row in changed) > 1 and "in_mean" in own
    if not several:
        return str(own["reader"])
    return f"{own['reader']} ({session}{'' if own['in_mean'] else ', not in the mean'})"


def _arms(result: Result, level: Result) -> Table:
    arms = level["arms"] or {"pairs": [], "changed": [], "overall": None}
    rows, total = [], len(level["cases"])
    for pair, changes in zip(arms["pairs"], arms["changed"], strict=True):
        reader = _arm_name(arms["changed"], changes, pair["first"])
        for name, item in ordered(pair["metrics"], METRICS):
            rows.append(
                {
                    "reader": reader, "metric": metric_title(name), "n": pair["n"], "dropped": total - pair["n"],
                    "with": item["first"],
                    "without": item["second"], "difference": item["difference"],
                    "to_right": changes["to_right"] if name == "accuracy" else None,
                    "to_wrong": changes["to_wrong"] if name == "accuracy" else None,
                }
            )  # fmt: skip
    for name, overall in over_readers(arms):
        sides = {key: overall["modalities"][name] for key, name in (("with", "with AI"), ("without", "without AI"))}
        difference = {"estimate": overall["difference"], "low": overall["low"], "high": overall["high"]}
        shown = {
            key: {"n": overall["n_cases"], "method": "obuchowski-rockette", "level": overall["level"]}
            | {part: side[part] for part in ("estimate", "low", "high")}
            for key, side in (sides | {"difference": difference}).items()
        }  # fmt: skip
        own = [changes for changes in arms["changed"] if changes.get("in_mean", True)]
        own = [arms["complete"]] if "complete" in arms else own
        counts = {key: sum(changes[key] for changes in own) for key in ("to_right", "to_wrong")}
        entered = {"n": overall["n_cases"], "dropped": total - overall["n_cases"]}
        rows.append({"reader": "mean of the readers", "metric": metric_title(name), **entered, **shown}
                    | (counts if name == "accuracy" else dict.fromkeys(counts)))  # fmt: skip
    counted = [Column("n", "n", "int"), Column("dropped", "Left out", "int")] if result.get("edition", 1) > 3 else []
    columns = [
        Column("reader", "Reader"), Column("metric", "Metric"), *counted, Column("with", "With AI result", "estimate"),
        Column("without", "Without", "estimate"), Column("difference", "Difference", "estimate"),
        Column("to_right", "Wrong to right", "int"), Column("to_wrong", "Right to wrong", "int"),
    ]  # fmt: skip
    marks = table_mark(result, level, named("with_vs_without_ai"), since=3)
    return level_table(level, "arms", "With and without the AI result", "comparison", columns, rows, mark=marks,
                       notes=_pair_notes(result, level, arms["pairs"]))  # fmt: skip
