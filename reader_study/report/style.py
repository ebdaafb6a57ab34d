"""How figures look: one size of type, colours for any colour vision, shapes that survive a photocopy."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH_IN: Final = 7.1  # 180 mm, two columns of most journals
INK, GREY, LIGHT = "#1a1a1a", "#595959", "#d9d9d9"
OKABE_ITO: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999")
MARKERS: Final = ("o", "^", "v", "D", "P", "X", "<", ">")
CLASS_COLOURS: Final = {
    "ALL": "#0072B2", "AML": "#D55E00", "CLL": "#56B4E9", "CML": "#E69F00", "NO_LEUKEMIA": "#009E73",
    "ACUTE": "#CC79A7", "CHRONIC": "#F0E442", "LEUKEMIA": "#CC79A7", "REACTIVE": "#999999",
}  # fmt: skip

_RC: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7.5,
    "ytick.labelsize": 8, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white", "axes.facecolor": "white",
    "svg.hashsalt": "leukoweb", "svg.fonttype": "path", "pdf.fonttype": 42, "pdf.compression": 6,
    "image.cmap": "cividis", "figure.dpi": 100,
}  # fmt: skip
_NO_DATES: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {"Software": None},
}  # fmt: skip
_lock = threading.Lock()  # matplotlib's parameters and font cache belong to the process


@contextmanager
def drawing() -> Iterator[None]:
    """Our parameters, for one figure at a time."""
    with _lock, matplotlib.rc_context():
        for name, value in _RC.items():
            matplotlib.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(height_in: float) -> Figure:
    """A figure with a canvas of its own, so that no window system is asked."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Figure) -> None:
    """Lay the figure out, once for all formats. Call inside ``drawing``, when everything is in the figure.

    A figure with a layout engine is drawn twice for every format, once to nowhere, and laid out each time. Without the
    engine it is drawn once. The layout is that of one resolution, so a format has the same bytes whether it is drawn
    alone or after others.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would leave a placeholder, for which it would be drawn twice again


def render(figure: Figure, kind: str) -> bytes:
    """Bytes that depend on the figure alone: no dates, fixed ids. Call inside ``drawing``, after ``settle``."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=300 if kind == "png" else 72, metadata=_NO_DATES[kind])
    return out.getvalue()


def evaluator_style(index: int, role: str) -> dict[str, Any]:
    """The AI is a filled black square; readers have colours and shapes of their own; comparators are open squares."""
    if role == "ai":
        return {"color": "#000000", "marker": "s", "markerfacecolor": "#000000"}
    if role == "comparator":
        return {"color": GREY, "marker": "s", "markerfacecolor": "white"}
    return {"color": OKABE_ITO[index % len(OKABE_ITO)], "marker": MARKERS[index % len(MARKERS)],
            "markerfacecolor": "white" if index % 2 else OKABE_ITO[index % len(OKABE_ITO)]}  # fmt: skip


def stamp(figure: Figure, text: str) -> None:
    """Marks under the figure, in every format."""
    figure.supxlabel(text, fontsize=6.5, color=GREY, x=0.01, ha="left")
