"""The endpoints that the protocol named, each with its numbers and a verdict in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leukoweb.statistics.paired import holm
from reader_study.analysis.arms import over_readers
from reader_study.analysis.comparisons import pair_report, wrong_comparison
from reader_study.analysis.conduct import amended_rules
from reader_study.analysis.inputs import Evaluator, Inputs
from reader_study.protocol.document import MARGIN_COMPARISONS

METRIC_TITLES = {
    "accuracy": "Accuracy", "macro_f1": "Macro F1", "macro_sensitivity": "Macro sensitivity",
    "macro_specificity": "Macro specificity", "macro_ppv": "Macro PPV", "macro_npv": "Macro NPV",
    "inter_observer_kappa": "Kappa between readers", "intra_observer_kappa": "Kappa within a reader",
    "ai_reader_kappa": "Kappa of AI and readers",
}  # fmt: skip
COMPARISON_TITLES = {
    "none": "", "ai_vs_reader_mean": "AI minus the readers' mean", "ai_vs_each_reader": "AI minus each reader",
    "ai_vs_comparators": "AI minus each comparator", "with_vs_without_ai": "with minus without the AI result",
}  # fmt: skip
NOT_SO = "This comparison is not defined for this metric."
NOT_NAMED = {"prespecified": False, "origin": "not in the protocol"}  # of a comparator

Row = dict[str, Any]
Level = Mapping[str, Any]


def endpoints_report(inputs: Inputs, report: Level, undecided: list[Row], arms: Row | None) -> list[Row]:
    """Rows in the order of the protocol, the primary endpoint first.

    Parameters
    ----------
    report
        The first level as ``levels.level_report`` gives it.
    undecided, arms
        Reports of ``comparisons`` at that level.
    """
    endpoints = sorted(inputs.plan["endpoints"], key=lambda e: e["role"] != "primary")
    out: list[Row] = []
    for number, endpoint in enumerate(endpoints, start=1):
        title = METRIC_TITLES.get(endpoint["metric"], endpoint["metric"])
        compared = COMPARISON_TITLES.get(endpoint["comparison"], endpoint["comparison"])
        since = int(endpoint.get("since_version", 1))
        amended = amended_rules(inputs.plan, _concerned(inputs, endpoint)) if inputs.edition > 2 else []
        origin = "protocol version 1" if since == 1 else f"added after the lock, amendment {since}"
        base = {
            "number": number, "role": endpoint["role"], "metric": endpoint["metric"],
            "comparison": endpoint["comparison"], "title": f"{title}{': ' if compared else ''}{compared}",
            "prespecified": since == 1 and not amended,
            "origin": "; ".join((origin, *amended)),
        }  # fmt: skip
        rows = list(_rows(inputs, endpoint, report, undecided, arms))
        out += [base | row for row in rows] or [base | _nothing("-", "not estimable: the study lacks what it needs")]
    return out


def _concerned(inputs: Inputs, endpoint: Row) -> set[str]:
    """The rules of the protocol (``conduct.RULES``) that the numbers or the verdict of an endpoint rest on."""
    metric, comparison = endpoint["metric"], endpoint["comparison"]
    rules = {"level"}
    if not metric.endswith("_kappa"):
        rules.add("missing")
        # A primary endpoint rests on a margin that was taken out, too; a secondary one on the margin that it prints.
        printed = comparison == "ai_vs_reader_mean" and inputs.margin is not None
        if printed or (endpoint["role"] == "primary" and comparison in MARGIN_COMPARISONS):
            rules.add("margin")
    rules.add("ai_comparators" if comparison == "ai_vs_comparators" else "primary_session")
    if comparison != "with_vs_without_ai" and (
        comparison != "none" or metric not in ("inter_observer_kappa", "intra_observer_kappa")
    ):
        rules.add("ai_primary")
    return rules


def _nothing(what: str, verdict: str) -> Row:
    return {"what": what, "estimate": None, "p": None, "margin": None, "verdict": verdict}


def _row(what: str, estimate: Mapping[str, Any] | None, *, p: Any = None, margin: Any = None, verdict: str = "") -> Row:
    return {"what": what, "estimate": estimate, "p": p, "margin": margin, "verdict": verdict}


def _rows(inputs: Inputs, endpoint: Row, report: Level, undecided: list[Row], arms: Row | None) -> Iterator[Row]:
    metric, comparison = endpoint["metric"], endpoint["comparison"]
    if metric.endswith("_kappa"):
        yield from _kappas(metric, comparison, report)
    elif comparison == "none":
        yield from _each(inputs, metric, report, undecided)
    elif comparison == "ai_vs_reader_mean":
        yield from _against_mean(inputs, endpoint, report)
    elif comparison == "ai_vs_each_reader":
        yield from _pairs(inputs, metric, inputs.primaries, report)
    elif comparison == "ai_vs_comparators":
        yield from _pairs(inputs, metric, inputs.comparators, None)
    elif comparison == "with_vs_without_ai" and arms:
        yield from _arms(inputs, endpoint, arms)


def _arms(inputs: Inputs, endpoint: Row, arms: Row) -> Iterator[Row]:
    """One row for each pair of sessions, then the mean over the readers, which alone can have a verdict."""
    name = endpoint["metric"].removeprefix("macro_")
    for pair in arms["pairs"]:
        if name in pair["metrics"]:
            yield _row(f"{pair['first']} minus {pair['second']}", pair["metrics"][name]["difference"])
    found = dict(over_readers(arms)).get(name)
    if found is None:
        return
    estimate = {"estimate": found["difference"], "low": found["low"], "high": found["high"],
                "method": "obuchowski-rockette", "n": found["n_cases"], "level": inputs.plan["level"]}  # fmt: skip
    if inputs.edition > 1 and found["note"]:
        estimate["note"] = found["note"]
    if inputs.edition > 2:
        estimate |= _dropped(len(inputs.cases) - found["n_cases"], estimate.get("note", ""))
    margin = inputs.margin if inputs.edition > 1 and endpoint["role"] == "primary" else None
    verdict = non_inferiority_words(dict(found) | {"margin": margin}) if margin else ""
    yield _row("all readers, with minus without", estimate, p=found["p"], margin=margin, verdict=verdict)


def _each(inputs: Inputs, metric: str, report: Level, undecided: list[Row]) -> Iterator[Row]:
    """One row for the AI and each primary session; the protocol's rule for undecided answers applies."""
    counted_wrong = {row["evaluator"]: row["wrong"] for row in undecided} if inputs.plan["missing"] == "wrong" else {}
    for evaluator in ((inputs.ai,) if inputs.ai else ()) + inputs.primaries:
        if evaluator.name in counted_wrong:
            yield _row(evaluator.name, counted_wrong[evaluator.name][metric.removeprefix("macro_")])
        else:
            yield _row(evaluator.name, report["evaluators"][evaluator.name][metric])


def _against_mean(inputs: Inputs, endpoint: Row, report: Level) -> Iterator[Row]:
    """The margin is that of the primary endpoint; at another one the words say so."""
    metric = endpoint["metric"]
    anybody = inputs.any_undecided(filter(None, (inputs.ai, *inputs.primaries)), inputs.levels[0])
    found: Mapping[str, Any] | None
    if inputs.plan["missing"] == "wrong" and anybody:
        found = wrong_comparison(inputs, inputs.levels[0], metric)
    else:
        found = (report["ai_vs_readers"] or {}).get(metric)
    if found is None:
        yield _nothing("AI minus the readers' mean", "not estimable: needs an AI and readers on the same cases")
        return
    words = non_inferiority_words(found)
    if inputs.edition > 1 and endpoint["role"] != "primary" and found["margin"] is not None:
        words += "; the margin was set for the primary endpoint"
    estimate = difference_estimate(found, inputs.edition)
    yield _row("AI minus the readers' mean", estimate, p=found["p"], margin=found["margin"], verdict=words)


def _dropped(dropped: int, note: str) -> Row:
    """What an estimate says of cases that are left out because not everybody who is compared answered them."""
    words = f"{dropped} case{'s' * (dropped != 1)} left out, not answered by all."
    return {"n_dropped": dropped, "note": f"{note} {words}".strip()} if dropped else {}


def difference_estimate(found: Mapping[str, Any], edition: int) -> Row:
    """A comparison with the readers' mean in the shape of an estimate, since the third edition with what it lacks."""
    out = {"estimate": found["difference"]}
    out |= {key: found.get(key) for key in ("low", "high", "method", "n", "level", "se") if found.get(key) is not None}
    out.setdefault("low", None)
    out.setdefault("high", None)
    if found.get("note"):
        out["note"] = found["note"]
    return out | (_dropped(found.get("n_dropped", 0), found.get("note", "")) if edition > 2 else {})


def non_inferiority_words(found: Mapping[str, Any]) -> str:
    """What the interval says against the margin."""
    if found["margin"] is None:
        return "no margin in the protocol"
    if found["low"] is None:
        return "not estimable"
    if found["low"] > 0:
        return "superior: the whole interval lies above 0"
    if found["low"] > -found["margin"]:
        return f"non-inferior: the lower limit lies above -{found['margin']:g}"
    if found["high"] is not None and found["high"] < -found["margin"]:
        return f"inferior: the whole interval lies below -{found['margin']:g}"
    return f"non-inferiority not shown: the lower limit lies below -{found['margin']:g}"


def _pairs(inputs: Inputs, metric: str, others: tuple[Evaluator, ...], report: Level | None) -> Iterator[Row]:
    if inputs.ai is None:
        return
    holm_p = {
        pair["b"] if pair["a"] == inputs.ai.name else pair["a"]: pair.get("mcnemar_exact_p_holm")
        for pair in (report or {"paired": []})["paired"]
        if pair["kind"] == "ai-reader"
    }
    reports = [pair_report(inputs, inputs.levels[0], inputs.ai, other) for other in others]
    if inputs.undecided_wrong and report is not None:
        known = [(other.name, found) for other, found in zip(others, reports, strict=True) if found["metrics"]]
        adjusted = holm([found["mcnemar"]["p"] for _, found in known])
        holm_p = {name: float(p) for (name, _), p in zip(known, adjusted, strict=True)}
    for other, found in zip(others, reports, strict=True):
        estimate = found["metrics"].get(metric.removeprefix("macro_"), {}).get("difference")
        p = None
        words = ""
        if metric == "accuracy" and found["metrics"]:
            p = holm_p.get(other.name, found["mcnemar"]["p"])
            words = "McNemar exact, Holm over the readers" if other.name in holm_p else "McNemar exact"
        elif not found["metrics"] and inputs.edition > 2:
            words = "not estimable: no case that both answered"
        row = _row(f"{inputs.ai.name} minus {other.name}", estimate, p=p, verdict=words)
        yield row | (NOT_NAMED if other.foreign else {})


def _kappas(metric: str, comparison: str, report: Level) -> Iterator[Row]:
    summary = report["kappa_summary"]
    if metric == "intra_observer_kappa":
        if comparison != "none":
            yield _nothing("-", NOT_SO)
            return
        for pair in report["intra_observer"]:
            yield _row(f"{pair['a']} and {pair['b']}", pair["kappa"])
        return
    kind = "ai-reader" if metric == "ai_reader_kappa" else "reader-reader"
    if comparison == "ai_vs_reader_mean":
        if summary and "difference" in summary:
            yield _row("mean kappa of AI and readers minus mean kappa between readers", summary["difference"])
        return
    if comparison not in ("none", "ai_vs_each_reader"):
        yield _nothing("-", NOT_SO)
        return
    if summary and summary.get(kind, {}).get("mean"):
        yield _row("mean of the pairs", summary[kind]["mean"])
    for pair in report["pairwise"]:
        if pair["kind"] == kind and pair["primary"]:
            yield _row(f"{pair['a']} and {pair['b']}", pair["kappa"])
