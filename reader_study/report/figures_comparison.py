"""Figures that compare evaluators with each other (the paper's Figs 7 and 8, and the forest plot it lacks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leukoweb.statistics.ratings_report import printed
from reader_study.analysis.comparisons import METRICS
from reader_study.analysis.endpoints import METRIC_TITLES
from reader_study.report.figures_accuracy import dots, matrix
from reader_study.report.style import GREY, INK, LIGHT, new_figure

Result = Mapping[str, Any]
SHOWN = ("macro_ppv", "macro_sensitivity", "macro_f1", "accuracy", "macro_specificity")


def kappa_matrix(result: Result, level: Result) -> Figure:
    """Kappa and its interval for every pair; two sessions of one reader are framed."""
    pairs = (*level["pairwise"], *level["intra_observer"])
    paired = {pair[side] for pair in pairs for side in ("a", "b")}
    names = [e["name"] for e in result["evaluators"] if e["name"] in paired]
    at = {name: index for index, name in enumerate(names)}
    shade, texts = np.full((len(names), len(names)), np.nan), [["" for _ in names] for _ in names]
    framed = []
    for pair in pairs:
        i, j = sorted((at[pair["a"]], at[pair["b"]]), reverse=True)
        kappa = pair["kappa"]
        if kappa["estimate"] is None:
            texts[i][j] = "-"
            continue
        shade[i, j] = max(0.0, kappa["estimate"])
        limits = f"\n{printed(kappa['low'])} to {printed(kappa['high'])}" if kappa["low"] is not None else ""
        texts[i][j] = f"{printed(kappa['estimate'])}{limits}"
        if pair["kind"] == "intra-observer":
            framed.append((i, j))
    figure = new_figure(min(7.5, 1.1 + 0.62 * len(names)))
    ax = figure.subplots()
    matrix(ax, shade[1:, :-1], [row[:-1] for row in texts[1:]], fontsize=7 if len(names) < 9 else 5)
    ax.set_xticks(range(len(names) - 1), names[:-1])
    ax.set_yticks(range(len(names) - 1), names[1:])
    ax.set_aspect("auto" if len(names) < 8 else "equal")
    for i, j in framed:
        ax.add_patch(_frame(i - 1, j))
    if framed:
        ax.set_title("Framed: two sessions of one reader", loc="right", color=GREY, fontsize=7)
    return figure


def _frame(row: int, column: int) -> Any:
    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=1.6)


def of_endpoints(result: Result, level: Result) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(metric, what) -> the estimate of an endpoint of AI against readers; nothing at another level than theirs."""
    if level["name"] != result["plan"]["levels"][0]["name"]:
        return {}
    compared = ("ai_vs_reader_mean", "ai_vs_each_reader")
    rows = (row for row in result["endpoints"] if row["comparison"] in compared and row["estimate"])
    return {(row["metric"], row["what"]): row["estimate"] for row in rows if not row["metric"].endswith("_kappa")}


def forest_rows(result: Result, level: Result) -> list[tuple[str, Mapping[str, Any], bool]]:
    """(name, estimate, whether it is the mean over readers). An endpoint is shown as the endpoints have it."""
    found, endpoints = level["ai_vs_readers"], of_endpoints(result, level)
    rows: list[tuple[str, Mapping[str, Any], bool]] = []

    def add(title: str, own: Mapping[str, Any] | None, named: Mapping[str, Any] | None, mean: bool) -> None:
        if named or own:
            rows.append((f"{title}{' (endpoint)' if named else ''}", named or own or {}, mean))

    for name in SHOWN:
        item = found.get(name)
        own = {"estimate": item["difference"], "low": item["low"], "high": item["high"]} if item else None
        add(METRIC_TITLES[name], own, endpoints.get((name, "AI minus the readers' mean")), True)
    for pair in level["paired"]:
        if pair["kind"] == "ai-reader" and pair["primary"] and "accuracy_difference" in pair:
            named = endpoints.get(("accuracy", f"{pair['a']} minus {pair['b']}"))
            add(f"Accuracy, minus {pair['b']}", pair["accuracy_difference"], named, False)
    return rows


def forest(result: Result, level: Result) -> Figure:
    """AI minus the readers' mean for each metric, and minus each reader for accuracy, against the margin."""
    found, rows = level["ai_vs_readers"], forest_rows(result, level)
    figure = new_figure(1.15 + 0.26 * len(rows))
    ax = figure.subplots()
    limits = [item[part] for _, item, _ in rows for part in ("low", "high", "estimate") if item[part] is not None]
    margin = found["accuracy"]["margin"]  # as it was used; one that excludes nothing is none
    reach = 1.15 * max([abs(value) for value in limits] + [margin or 0, 0.05])
    for y, (_, item, mean) in enumerate(rows):
        if item["estimate"] is None:
            continue
        if item["low"] is not None:
            ax.plot([item["low"], item["high"]], [y, y], color=INK if mean else GREY, linewidth=1.5)
        ax.plot([item["estimate"]], [y], marker="s" if mean else "o", markersize=5, color=INK if mean else GREY,
                markerfacecolor=INK if mean else "white")  # fmt: skip
        text = printed(item["estimate"])
        if item["low"] is not None:
            text += f" ({printed(item['low'])} to {printed(item['high'])})"
        ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=7)
    ax.axvline(0, color=GREY, linewidth=0.8)
    if margin is not None:
        ax.axvline(-margin, color="#D55E00", linewidth=1.1, linestyle=(0, (4, 2)))
        ax.text(-margin, -0.75, f"margin -{margin:g}", ha="right", va="bottom", fontsize=7, color="#A03C00")
    _decorate(ax, [title for title, _, _ in rows], reach)
    return figure


def _decorate(ax: Axes, names: list[str], reach: float) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.8)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("readers better  ◂   AI minus readers' mean (squares) or minus one reader (circles)   ▸  AI better")
    ax.grid(axis="x", color=LIGHT, linewidth=0.4)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)


def comparators(result: Result, level: Result) -> Figure:
    """Each comparator: its five metrics beside the pipeline's, and the difference with its interval."""
    pairs = [pair for pair in level["comparators"] if pair["metrics"]]  # who never gave a class here has none
    foreign = {e["name"] for e in result["evaluators"] if not e.get("in_protocol", True)}
    figure = new_figure(0.5 + 1.9 * len(pairs))
    grid = figure.subplots(len(pairs), 2, squeeze=False)
    names = [METRIC_TITLES["accuracy" if m == "accuracy" else f"macro_{m}"] for m in METRICS]
    for (left, right), pair in zip(grid, pairs, strict=True):
        items = [pair["metrics"][name] for name in METRICS if name in pair["metrics"]]
        one = {"color": INK, "marker": "s", "markerfacecolor": INK}
        two = {"color": GREY, "marker": "o", "markerfacecolor": "white"}
        rows = [(style, item[side]) for item in items for style, side in ((one, "first"), (two, "second"))]
        dots(left, rows)
        left.set_yticks(np.arange(len(items)) * 2 + 0.5, names[: len(items)])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_title(f"■ {pair['first']}   ○ {pair['second']}   (n = {pair['n']})", loc="left")
        reach = 0.05
        for y, item in enumerate(items):
            d = item["difference"]
            if d["estimate"] is None:
                continue
            if d["low"] is not None:
                right.plot([d["low"], d["high"]], [y, y], color=INK, linewidth=1.5)
                reach = max(reach, abs(d["low"]), abs(d["high"]))
            right.plot([d["estimate"]], [y], marker="D", markersize=4.5, color=INK)
            reach = max(reach, abs(d["estimate"]))
        right.axvline(0, color=GREY, linewidth=0.8)
        right.set_xlim(-1.15 * reach, 1.15 * reach)
        right.set_yticks(range(len(items)), names[: len(items)])
        right.set_ylim(len(items) - 0.5, -0.5)
        named = ", not in the protocol" if pair["second"] in foreign else ""
        right.set_title(f"{pair['first']} minus {pair['second']}{named}", loc="left")
        right.grid(axis="x", color=LIGHT, linewidth=0.4)
    return figure
