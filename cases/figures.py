"""Figures of curation as SVG: the flow of images, the drift between two sets. Deterministic, colour-blind safe.

matplotlib is imported when a figure is asked for, so that no other request pays for it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cases.drift import FEATURES, Mix, Values
from cases.flow import KEPT, RECEIVED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION, INK, LINE, GROUND = "#0072B2", "#D55E00", "#1b1b1b", "#8a9096", "#f1f4f6"
_OPTIONS: Final[Any] = {"svg.hashsalt": "leukoweb", "svg.fonttype": "path", "font.size": 9, "axes.edgecolor": LINE}


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": "leukoweb"})
    return buffer.getvalue()


def flow_svg(steps: Sequence[Mapping[str, Any]]) -> bytes:
    """Received at the top, kept at the bottom, each step that took images out as a box to the right of the stem."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    out = [step for step in steps if step["step"] not in (RECEIVED, KEPT)]
    ends = {step["step"]: step for step in steps}
    n = len(out) + 2
    with rc_context(_OPTIONS):
        figure = Figure(figsize=(7.2, 0.62 * n + 0.3))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, 10)
        axes.set_ylim(-0.2, n)
        axes.axis("off")
        axes.annotate("", (2, 0.72), (2, n - 0.72), arrowprops={"arrowstyle": "-|>", "color": LINE, "lw": 1.4})
        _box(axes, 2, n - 0.4, ends[RECEIVED], strong=True)
        _box(axes, 2, 0.4, ends[KEPT], strong=True)
        for at, step in enumerate(out):
            y = n - 1.4 - at
            axes.annotate("", (4.6, y), (2, y), arrowprops={"arrowstyle": "-|>", "color": LINE, "lw": 1.0})
            _box(axes, 4.75, y, step, strong=False)
        return _svg(figure)


def _box(axes: Any, x: float, y: float, step: Mapping[str, Any], *, strong: bool) -> None:
    words = (
        f"{step['title']}\n{step['n_images']:,} images, {step['n_slides']:,} slides, {step['n_patients']:,} patients"
    )
    style = {
        "boxstyle": "round,pad=0.35", "fc": GROUND if strong else "white", "ec": BLUE if strong else LINE, "lw": 1.2,
    }  # fmt: skip
    side = "center" if strong else "left"
    axes.text(x, y, words, ha=side, va="center", color=INK, fontsize=8.5, linespacing=1.3, bbox=style)


def drift_svg(a: Mapping[str, Values], b: Mapping[str, Values], names: tuple[str, str], mix: Mix | None) -> bytes:
    """Cumulative distributions of every feature in two sets, and the class mix as bars where labels are known."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = list(a)
    columns, n = 3, len(shown) + (mix is not None)
    lines = -(-n // columns)
    with rc_context(_OPTIONS):
        figure = Figure(figsize=(9.6, 2.3 * lines + 0.5), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, name in zip(grid, shown, strict=False):
            _distribution(axes, a[name], BLUE, "-", names[0])
            _distribution(axes, b[name], VERMILLION, "--", names[1])
            axes.set_title(FEATURES[name], fontsize=9, loc="left")
            axes.set_ylim(0, 1)
        if mix is not None:
            _bars(grid[len(shown)], mix, names)
        for axes in grid[n:]:
            axes.axis("off")
        for axes in grid[:n]:
            axes.spines[["top", "right"]].set_visible(False)
        handles, words = grid[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside upper left", ncols=2, frameon=False)
        return _svg(figure)


def _distribution(axes: Any, values: Values, colour: str, style: str, name: str) -> None:
    axes.ecdf(values, color=colour, linestyle=style, linewidth=1.6, label=name)


def _bars(axes: Any, mix: Mix, names: tuple[str, str]) -> None:
    at = range(len(mix.classes))
    axes.bar([x - 0.2 for x in at], mix.shares_a, 0.38, color=BLUE, label=names[0])
    axes.bar([x + 0.2 for x in at], mix.shares_b, 0.38, color=VERMILLION, hatch="//", edgecolor="white", label=names[1])
    axes.set_xticks(list(at), [name.replace("_", "\n") for name in mix.classes], fontsize=7)
    axes.set_title("Share of the classes", fontsize=9, loc="left")
