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


LINE, PAD, GAP = 0.16, 0.2, 0.22  # inches: a line of text, what a box has around it, the room between boxes
MAIN_X, MAIN_WIDTH, SIDE_X, SIDE_WIDTH = 0.1, 4.5, 5.3, 4.6  # of ten
LETTERS = 52  # that a line of a box holds


def flow(result: Result, _: Result) -> Figure:
    """Boxes from the cohort to the analysed cases; what was left out, with the reason, to the right.

    A box is as high as its text. What was left out stands between the boxes before and after, or under the last one.
    """
    main: list[list[str]] = []
    side: list[list[str]] = []  # what was left out after each box
    for step in result["flow"]["steps"]:
        if step.get("why") and main:
            side[-1] += _lines(f"{step['step']}: n = {step['n']} ({step['why']})")
        else:
            main.append([*_lines(step["step"]), f"n = {step['n']}"])
            side.append([])
    heights = [_height(lines) for lines in main]
    gaps = [_height(lines) + 2 * GAP if lines else (2 * GAP if row < len(main) - 1 else 0.0)
            for row, lines in enumerate(side)]  # fmt: skip
    total = sum(heights) + sum(gaps)
    figure = new_figure(total + 0.5)
    ax = figure.subplots()
    ax.set_axis_off()
    ax.set_xlim(0, 10)
    ax.set_ylim(-total - 0.05, 0.05)
    top, middle = 0.0, MAIN_X + MAIN_WIDTH / 2
    for row, lines in enumerate(main):
        _box(ax, MAIN_X, top, MAIN_WIDTH, lines)
        bottom = top - heights[row]
        top = bottom - gaps[row]
        beside = bottom - gaps[row] / 2
        if row < len(main) - 1:
            ax.annotate("", (middle, top), (middle, bottom), arrowprops=_arrow(INK))
        elif side[row]:
            ax.plot([middle, middle], [bottom, beside], color=GREY, linewidth=0.8)
        if side[row]:
            _box(ax, SIDE_X, bottom - GAP, SIDE_WIDTH, side[row], dashed=True)
            ax.annotate("", (SIDE_X, beside), (middle, beside), arrowprops=_arrow(GREY))
    return figure


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, LETTERS)


def _height(lines: list[str]) -> float:
    return LINE * len(lines) + PAD


def _arrow(colour: str) -> dict[str, Any]:
    return {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 0.8}


def _box(ax: Any, x: float, top: float, width: float, lines: list[str], *, dashed: bool = False) -> None:
    height = _height(lines)
    ax.add_patch(
        FancyBboxPatch((x, top - height), width, height, boxstyle="round,pad=0,rounding_size=0.06",
                       facecolor="white", edgecolor=GREY if dashed else INK, linewidth=0.8, clip_on=False,
                       linestyle="--" if dashed else "-")
    )  # fmt: skip
    ax.text(x + width / 2, top - height / 2, "\n".join(lines), ha="center", va="center", fontsize=7.5)


def order(result: Result, _: Result) -> Figure:
    """Accuracy in the three parts of each session's order, with intervals."""
    rows = result["sessions"]["order"]
    names = list(dict.fromkeys(row["evaluator"] for row in rows))
    figure = new_figure(2.7 + 0.2 * ((len(names) - 1) // 5))
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
                linestyle=line, markerfacecolor=face, clip_on=False)  # fmt: skip
    ax.set_xticks(range(3), ["First third", "Second third", "Last third"])
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("Accuracy")
    ax.grid(axis="y", color=LIGHT, linewidth=0.4)
    figure.legend(frameon=False, ncols=min(len(names), 5), loc="outside upper left")
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
