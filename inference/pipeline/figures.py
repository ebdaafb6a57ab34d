"""Figures of training and validation as SVG, the same bytes for the same numbers, for a light and a dark page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cases.taxonomy import STYLES

THEMES: Final = {"light": ("#20262d", "#c9d1d9"), "dark": ("#dfe6ed", "#3c4650")}  # ink, grid
_LOSS, _F1 = "#D55E00", "#56B4E9"  # Okabe and Ito: told apart with any colour vision
_MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")


def curves_svg(epochs: Sequence[Mapping[str, Any]], classes: Sequence[str], best: int, theme: str) -> bytes:
    """Loss and macro F1 by epoch, and the F1 of each class; ``best`` is marked. Epochs: number, loss, macro_f1,
    class_f1 (None where undefined)."""
    ink, grid = THEMES[theme]
    figure, (left, right) = _subplots(ink, grid)
    x = [epoch["number"] for epoch in epochs]
    every = max(1, len(x) // 12)
    left.plot(x, [epoch["loss"] for epoch in epochs], color=_LOSS, linestyle="--", label="training loss")
    left.set_ylabel("training loss", color=ink)
    twin = left.twinx()
    _plain(twin, ink, grid)
    twin.grid(False)
    twin.plot(x, [epoch["macro_f1"] for epoch in epochs], color=_F1, label="macro F1 (validation)")
    twin.set_ylim(0, 1.02)
    twin.set_ylabel("macro F1", color=ink)
    if best:
        twin.axvline(best, color=ink, linewidth=0.8, linestyle=":")
        twin.annotate(f"best: {best}", (best, 0.03), color=ink, fontsize=8, ha="right", rotation=90, va="bottom")
    lines = [*left.get_lines(), *[line for line in twin.get_lines() if not line.get_label().startswith("_")]]
    left.legend(lines, [line.get_label() for line in lines], **_legend(ink), loc="lower left", bbox_to_anchor=(0, 1))
    for k, name in enumerate(classes):
        values = [epoch["class_f1"][k] if k < len(epoch["class_f1"]) else None for epoch in epochs]
        y = [float("nan") if value is None else value for value in values]
        style = {"color": STYLES[name].colour, "marker": _MARKS[k % len(_MARKS)], "markersize": 4, "markevery": every}
        right.plot(x, y, label=f"{STYLES[name].code} {name}", **style)
    right.set_ylim(0, 1.02)
    right.set_ylabel("F1 by class (validation)", color=ink)
    right.legend(**_legend(ink), loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    for axes in (left, right):
        axes.set_xlabel("epoch", color=ink)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _svg(figure)


def report_svg(report: Mapping[str, Any], theme: str) -> bytes:
    """Confusion matrix (rows: reference) in cividis with its counts, and the reliability curve of the called class."""
    ink, grid = THEMES[theme]
    figure, (left, right) = _subplots(ink, grid)
    table, names = report["confusion"], report["classes"]
    sums = [max(1, sum(row)) for row in table]
    shares = [[value / total for value in row] for row, total in zip(table, sums, strict=True)]
    left.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    left.grid(False)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            left.text(j, i, str(value), ha="center", va="center", color="black" if shares[i][j] > 0.55 else "white")
    codes = [STYLES[name].code for name in names]
    left.set_xticks(range(len(names)), codes)
    left.set_yticks(range(len(names)), [f"{STYLES[n].code} {n}" for n in names])
    left.set_xlabel("predicted", color=ink)
    left.set_ylabel("reference", color=ink)
    curve = report["calibration"]["curve"]
    right.plot([0, 1], [0, 1], color=ink, linewidth=0.8, linestyle=":")
    right.plot([p["stated"] for p in curve], [p["observed"] for p in curve], color=_F1, marker="o")
    for point in curve:
        right.annotate(str(point["n"]), (point["stated"], point["observed"]), color=ink, fontsize=7,
                       xytext=(4, -9), textcoords="offset points")  # fmt: skip
    right.set_xlim(0, 1.02)
    right.set_ylim(0, 1.02)
    right.set_xlabel("stated probability of the called class", color=ink)
    right.set_ylabel("share that was right", color=ink)
    return _svg(figure)


def sweep_svg(sweep: Sequence[Mapping[str, Any]], measure: str, theme: str) -> bytes:
    """Patients with leukemia found and normals kept, against the gate's threshold."""
    ink, grid = THEMES[theme]
    figure, (left, right) = _subplots(ink, grid)
    rows = [row for row in sweep if row["gate"]["measure"] == measure]
    x = [row["gate"]["at_least"] for row in rows]
    for axes, what, words, colour in (
        (left, "sensitivity", "leukemia found", _LOSS), (right, "specificity", "normals kept", _F1),
    ):  # fmt: skip
        axes.plot(x, [row[what]["estimate"] for row in rows], color=colour, marker="o", label="all patients")
        limits = [(row[what]["low"], row[what]["high"]) for row in rows]
        if all(low is not None for low, _ in limits):
            axes.fill_between(x, *zip(*limits, strict=True), color=colour, alpha=0.18, linewidth=0)
        for k, name in enumerate(sorted({group["name"] for row in rows for group in row["by_size"]})):
            y = [next((g[what]["estimate"] for g in row["by_size"] if g["name"] == name), None) for row in rows]
            if any(value is not None for value in y):
                values = [float("nan") if value is None else value for value in y]
                axes.plot(x, values, color=ink, linewidth=0.8, linestyle=(0, (1 + k, 2)), label=f"{name} images")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(f"gate: at least this {measure} of leukemia images", color=ink)
        axes.set_ylabel(words, color=ink)
        axes.legend(**_legend(ink), loc="best")
    return _svg(figure)


def _subplots(ink: str, grid: str) -> Any:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "leukoweb"
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots(1, 2)
    for one in axes:
        _plain(one, ink, grid)
    return figure, axes


def _plain(axes: Any, ink: str, grid: str) -> None:
    axes.patch.set_alpha(0)
    axes.tick_params(colors=ink, labelsize=9)
    axes.grid(color=grid, linewidth=0.6)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(grid)


def _legend(ink: str) -> dict[str, Any]:
    return {"frameon": False, "fontsize": 8, "labelcolor": ink}


def _svg(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
