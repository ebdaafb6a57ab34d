"""Every figure of a result: what there is, and its bytes as SVG, PDF or PNG. The same code for page and paper."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reader_study.analysis.tables_shared import mark
from reader_study.report import figures_accuracy, figures_comparison, figures_study
from reader_study.report.formats import CONTENT_TYPES
from reader_study.report.style import drawing, render, settle, stamp

Result = Mapping[str, Any]
Draw = Callable[[Result, Result], Figure | None]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """One figure: ``table`` is the table whose numbers it shows, and which stands in for it where it cannot be seen."""

    key: str
    title: str
    section: str
    table: str
    level: str
    marks: str


# key, title, section, table, metrics that an endpoint may have named, function
_LEVEL: tuple[tuple[str, str, str, str, tuple[str, ...], Draw], ...] = (
    ("metrics", "Five metrics with intervals", "accuracy", "metrics",
     ("accuracy", "macro_f1", "macro_ppv", "macro_sensitivity", "macro_specificity"), figures_accuracy.metrics),
    ("f1", "F1 of each class with intervals", "accuracy", "classes", (), figures_accuracy.class_f1),
    ("confusion", "Confusion matrices", "accuracy", "metrics", (), figures_accuracy.confusion),
    ("kappa", "Cohen's kappa of every pair", "agreement", "pairs",
     ("inter_observer_kappa", "intra_observer_kappa", "ai_reader_kappa"), figures_comparison.kappa_matrix),
    ("forest", "AI minus readers", "comparison", "ai_readers", ("accuracy", "macro_f1"), figures_comparison.forest),
    ("comparators", "Pipeline against comparators", "comparison", "comparators", (), figures_comparison.comparators),
)  # fmt: skip
_STUDY: tuple[tuple[str, str, str, str, Draw], ...] = (
    ("flow", "Participant flow", "participants", "flow", figures_study.flow),
    ("order", "Accuracy over the course of a session", "sessions", "order", figures_study.order),
    ("times", "Reading times", "sessions", "times", figures_study.times),
)


def figure_list(result: Result) -> list[FigureSpec]:
    """Figures that the result has numbers for, in the order of the report."""
    return [spec for spec, _, _ in _available(result)]


def figure_bytes(result: Result, key: str, kind: str) -> bytes | None:
    """The figure as ``svg``, ``pdf`` or ``png``; None if there is none of this key or kind."""
    return figure_files(result, key, [kind]).get(kind)


def figure_files(result: Result, key: str, kinds: Iterable[str]) -> dict[str, bytes]:
    """One figure, drawn once, in several formats; each has the bytes that it has when it is asked for alone.

    Empty if there is no figure of this key; kinds that are not known are left out.
    """
    known = [kind for kind in kinds if kind in CONTENT_TYPES]
    found = next(((spec, level, draw) for spec, level, draw in _available(result) if spec.key == key), None)
    if found is None or not known:
        return {}
    spec, level, draw = found
    with drawing():
        figure = draw(result, level)
        if figure is None:
            return {}
        stamp(figure, "\n".join(textwrap.wrap(f"{spec.marks}. Research use only.", 130)))
        settle(figure)
        return {kind: render(figure, kind) for kind in known}


def _available(result: Result) -> Iterator[tuple[FigureSpec, Result, Draw]]:
    stamps = tuple(result["marks"]["words"])
    for key, title, section, table, draw in _STUDY[:1]:
        if result["flow"].get("steps"):
            yield FigureSpec(key, title, section, table, "", "; ".join((*stamps, "descriptive"))), result, draw
    for row in result["plan"]["levels"]:
        level = result["levels"][row["name"]]
        for key, title, section, table, metrics, draw in _LEVEL:
            if _has(level, key):
                marks = "; ".join((*stamps, mark(result, level, *metrics)))
                name = level["name"]
                spec = FigureSpec(
                    f"{key}_{name}", f"{title}, {level['title']}", section, f"{table}_{name}", name, marks
                )
                yield spec, level, draw
    for key, title, section, table, draw in _STUDY[1:]:
        if result["sessions"][key]:
            yield FigureSpec(key, title, section, table, "", "; ".join((*stamps, "exploratory"))), result, draw


def _has(level: Result, key: str) -> bool:
    if key == "kappa":
        return bool(level["pairwise"] or level["intra_observer"])
    if key == "forest":
        return bool(level["ai_vs_readers"])
    return bool(level["comparators"]) if key == "comparators" else True
