"""Figures of the study as a whole: participant flow, order, reading times."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import LogFormatter, ScalarFormatter

from reader_study.report.style import GREY, INK, LIGHT, MARKERS, OKABE_ITO, new_figure

Result = Mapping[str, Any]


def flow(result: Result, _: Result) -> Figure:
    """Boxes from the cohort to the analysed cases; what was left out, with the reason, to the right."""
    main: list[tuple[Result, int]] = []
    side: list[tuple[Result, int]] = []
    for step in result["flow"]["steps"]:
        (side if step.get("why") else main).append((step, len(main)))
    figure = new_figure(0.6 + 0.85 * max(len(main), 1))
    ax = figure.subplots()
    ax.set_axis_off()
    ax.set_xlim(0, 10)
    ax.set_ylim(-len(main) - 0.1, 0.3)
    for row, (step, _before) in enumerate(main):
        _box(ax, 0.2, -row, 4.6, f"{step['step']}\nn = {step['n']}")
        if row:
            ax.annotate("", (2.5, -row - 0.1), (2.5, -row + 0.3), arrowprops=_arrow(INK))
    for row in range(len(main)):
        texts = [f"{left['step']}: n = {left['n']} ({left['why']})" for left, after in side if after == row + 1]
        if texts:
            wrapped = "\n".join("\n".join(textwrap.wrap(text, 48)) for text in texts)
            _box(ax, 5.6, -row - 0.5, 4.2, wrapped, dashed=True)
            ax.annotate("", (5.6, -row - 0.9), (2.5, -row - 0.9), arrowprops=_arrow(GREY))
    return figure


def _arrow(colour: str) -> dict[str, Any]:
    return {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 0.8}


def _box(ax: Any, x: float, y: float, width: float, text: str, *, dashed: bool = False) -> None:
    height = 0.6
    ax.add_patch(
        FancyBboxPatch((x, y - 0.1 - height), width, height, boxstyle="round,pad=0.02,rounding_size=0.06",
                       facecolor="white", edgecolor=GREY if dashed else INK, linewidth=0.8,
                       linestyle="--" if dashed else "-")
    )  # fmt: skip
    ax.text(x + width / 2, y - 0.1 - height / 2, text, ha="center", va="center", fontsize=7.5)


def order(result: Result, _: Result) -> Figure:
    """Accuracy in the three parts of each session's order, with intervals."""
    rows = result["sessions"]["order"]
    names = list(dict.fromkeys(row["evaluator"] for row in rows))
    figure = new_figure(2.7)
    ax = figure.subplots()
    for index, name in enumerate(names):
        own = [row for row in rows if row["evaluator"] == name]
        shift = (index - (len(names) - 1) / 2) * min(0.14, 0.7 / len(names))
        xs = [position + shift for position in range(len(own))]
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        for x, row in zip(xs, own, strict=True):
            item = row["accuracy"]
            if item["low"] is not None:
                ax.plot([x, x], [item["low"], item["high"]], color=colour, linewidth=1.2)
        ys = [float("nan") if row["accuracy"]["estimate"] is None else row["accuracy"]["estimate"] for row in own]
        line, face = ("-", "--", ":", "-.")[index % 4], "white" if index % 2 else colour
        ax.plot(xs, ys, marker=MARKERS[index % len(MARKERS)], markersize=5, color=colour, linewidth=0.8, label=name,
                linestyle=line, markerfacecolor=face)  # fmt: skip
    ax.set_xticks(range(3), ["First third", "Second third", "Last third"])
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("Accuracy")
    ax.grid(axis="y", color=LIGHT, linewidth=0.4)
    ax.legend(frameon=False, ncols=min(len(names), 5), loc="lower left")
    return figure


def times(result: Result, _: Result) -> Figure:
    """Median and quartiles of the active time per case; whiskers reach the shortest and the longest."""
    rows = result["sessions"]["times"]
    figure = new_figure(0.9 + 0.3 * len(rows))
    ax = figure.subplots()
    for y, row in enumerate(rows):
        ax.plot([row["shortest_s"], row["longest_s"]], [y, y], color=GREY, linewidth=0.8)
        ax.plot([row["q1_s"], row["q3_s"]], [y, y], color=INK, linewidth=5, solid_capstyle="butt", alpha=0.35)
        ax.plot([row["median_s"]], [y], marker="|", markersize=11, markeredgewidth=2, color=INK)
    ax.set_yticks(range(len(rows)), [row["evaluator"] for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if min(row["shortest_s"] for row in rows) > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    ax.set_xlabel("Active seconds per case (median, quartiles, range)")
    ax.grid(axis="x", color=LIGHT, linewidth=0.4)
    ax.tick_params(axis="y", length=0)
    return figure
