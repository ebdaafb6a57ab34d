"""Figures of evaluators against the reference (the paper's Figs 6 and 9, with what they left out: intervals)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reader_study.report.style import CLASS_COLOURS, GREY, INK, LIGHT, evaluator_style, new_figure

Result = Mapping[str, Any]
PANELS = (
    ("macro_ppv", "PPV"), ("macro_sensitivity", "Sensitivity"), ("macro_f1", "F1"), ("accuracy", "Accuracy"),
    ("macro_specificity", "Specificity"),
)  # fmt: skip


def styles(result: Result) -> list[tuple[str, dict[str, Any]]]:
    """Evaluators in order with their marks; sessions of one reader share the colour, the later one is open."""
    readers = list(dict.fromkeys(e["reader"] for e in result["evaluators"] if e["role"] == "reader"))
    out = []
    for e in result["evaluators"]:
        index = readers.index(e["reader"]) if e["role"] == "reader" else 0
        style = evaluator_style(index, e["role"])
        if e["role"] == "reader":
            style["markerfacecolor"] = style["color"] if e["primary"] else "white"
        out.append((str(e["name"]), style))
    return out


def metrics(result: Result, level: Result) -> Figure:
    """One panel for each of the five metrics, one row for each evaluator."""
    marks = styles(result)
    figure = new_figure(0.9 + 0.27 * len(marks))
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for ax, (metric, title) in zip(axes, PANELS, strict=True):
        dots(ax, [(style, level["evaluators"][name][metric]) for name, style in marks])
        ax.set_title(title)
    _names(axes[0], marks)
    return figure


def class_f1(result: Result, level: Result) -> Figure:
    """One panel for each class."""
    marks, classes = styles(result), level["classes"]
    patients = Counter(case["reference"] for case in level["cases"])
    n_columns = min(len(classes), 5)
    n_rows = math.ceil(len(classes) / n_columns)
    figure = new_figure((0.9 + 0.27 * len(marks)) * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for position, ax in enumerate(grid.flat):
        if position >= len(classes):
            ax.set_visible(False)
            continue
        name = classes[position]
        found = [level["evaluators"][evaluator]["per_class"][name] for evaluator, _ in marks]
        dots(ax, [(style, item["f1"]) for (_, style), item in zip(marks, found, strict=True)])
        n = patients[name]
        ax.set_title(f"{name}\nn = {n}", loc="left")
        ax.spines["left"].set_color(CLASS_COLOURS.get(name, GREY))
        ax.spines["left"].set_linewidth(3)
    for row in grid:
        _names(row[0], marks)
    return figure


def dots(ax: Axes, rows: Sequence[tuple[dict[str, Any], Mapping[str, Any]]]) -> None:
    """Estimates as marks on intervals from 0 to 1, the first row on top; undefined ones as a dash."""
    for y, (style, item) in enumerate(rows):
        if item["estimate"] is None:
            ax.text(0.5, y, "undefined", ha="center", va="center", fontsize=6.5, color=GREY)
            continue
        if item["low"] is not None and item["high"] is not None:
            ax.plot([item["low"], item["high"]], [y, y], color=style["color"], linewidth=1.3, solid_capstyle="butt")
        ax.plot([item["estimate"]], [y], linestyle="none", markersize=5, markeredgewidth=1.1, clip_on=False,
                markeredgecolor=style["color"], **{k: v for k, v in style.items() if k != "color"})  # fmt: skip
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    # One artist for all lines: a tick is five, and laying out hundreds of them took as long as everything else.
    ax.vlines(np.arange(0, 1.01, 0.1), 0, 1, transform=ax.get_xaxis_transform(), colors=LIGHT, linewidths=0.4, zorder=0)


def _names(ax: Axes, marks: Sequence[tuple[str, Any]]) -> None:
    ax.set_yticks(range(len(marks)), [name for name, _ in marks])
    ax.set_ylim(len(marks) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def confusion(result: Result, level: Result) -> Figure:
    """A matrix for each evaluator: counts, shaded by the share of the reference class."""
    names, classes = [e["name"] for e in result["evaluators"]], level["classes"]
    n_columns = min(3, len(names))
    n_rows = math.ceil(len(names) / n_columns)
    figure = new_figure(0.5 + 2.35 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    short = [_short(name) for name in classes]
    for position, ax in enumerate(grid.flat):
        if position >= len(names):
            ax.set_visible(False)
            continue
        counts = np.array(level["evaluators"][names[position]]["confusion"], dtype=float)
        totals = counts.sum(1, keepdims=True)
        share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
        matrix(ax, share, [[f"{int(cell)}" for cell in row] for row in counts])
        ax.set_title(names[position])
        ax.set_xticks(range(len(classes)), short)
        ax.set_yticks(range(len(classes)), short)
        ax.set_xlabel("Said" if position >= len(names) - n_columns else "")
        ax.set_ylabel("Reference" if position % n_columns == 0 else "")
    return figure


def _short(name: str) -> str:
    return {"NO_LEUKEMIA": "None", "ACUTE": "Acute", "CHRONIC": "Chronic"}.get(name, name[:8])


def matrix(ax: Axes, shade: Any, texts: Sequence[Sequence[str]], fontsize: float = 7.5) -> None:
    """Cells in cividis from 0 to 1 with a text in black or white, whichever can be read."""
    colours = matplotlib.colormaps["cividis"]
    ax.imshow(shade, vmin=0, vmax=1, cmap=colours, aspect="equal", interpolation="nearest")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            if text:
                red, green, blue, _ = colours(0.0 if np.isnan(shade[i][j]) else float(shade[i][j]))
                bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue
                ink = INK if bright > 0.45 or np.isnan(shade[i][j]) else "white"
                ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=fontsize)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
