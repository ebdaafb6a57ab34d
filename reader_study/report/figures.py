"""Every figure of a result: what there is, and its bytes as SVG, PDF or PNG. The same code for page and paper."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reader_study.analysis.tables_comparison import named
from reader_study.analysis.tables_level import KAPPA_PAIRS
from reader_study.analysis.tables_shared import counted_wrong, mark, undecided_note
from reader_study.report import figures_accuracy, figures_comparison, figures_study
from reader_study.report.formats import CONTENT_TYPES
from reader_study.report.style import drawing, render, settle, stamp

Result = Mapping[str, Any]
Draw = Callable[[Result, Result], Figure | None]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """One figure: ``table`` is the table whose numbers it shows, and which stands in for it where it cannot be seen.

    ``note`` says what it does with undecided answers, where the protocol has a rule for them. ``beside`` names the
    further tables that its numbers come from.
    """

    key: str
    title: str
    section: str
    table: str
    level: str
    marks: str
    note: str = ""
    beside: str = ""

    @property
    def where(self) -> str:
        """Which tables hold the numbers, as a sentence."""
        return f"The numbers stand in the table that follows{self.beside and ', '}{self.beside}."


# What a figure does with undecided answers: leaves them out, takes those of the endpoints from there, counts all wrong.
OUT, ENDPOINTS, WRONG, SILENT = "out", "endpoints", "wrong", ""
_FOREST = (*named("ai_vs_reader_mean"), ("accuracy", "ai_vs_each_reader"))
# key, title, section, table, endpoints that may stand in it, undecided answers, function
_LEVEL: tuple[tuple[str, str, str, str, Sequence[tuple[str, str]], str, Draw], ...] = (
    ("metrics", "Five metrics with intervals", "accuracy", "metrics", named("none"), OUT, figures_accuracy.metrics),
    ("f1", "F1 of each class with intervals", "accuracy", "classes", (), OUT, figures_accuracy.class_f1),
    ("confusion", "Confusion matrices", "accuracy", "metrics", (), OUT, figures_accuracy.confusion),
    ("kappa", "Cohen's kappa of every pair", "agreement", "pairs", KAPPA_PAIRS, SILENT,
     figures_comparison.kappa_matrix),
    ("forest", "AI minus readers", "comparison", "ai_readers", _FOREST, ENDPOINTS, figures_comparison.forest),
    ("comparators", "Pipeline against comparators", "comparison", "comparators", named("ai_vs_comparators"), WRONG,
     figures_comparison.comparators),
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
        words = f"{spec.marks}. {spec.note}{' ' * bool(spec.note)}Research use only."
        stamp(figure, "\n".join(textwrap.wrap(words, 130)))
        settle(figure)
        return {kind: render(figure, kind) for kind in known}


def _available(result: Result) -> Iterator[tuple[FigureSpec, Result, Draw]]:
    stamps = tuple(result["marks"]["words"])
    for key, title, section, table, draw in _STUDY[:1]:
        if result["flow"].get("steps"):
            yield FigureSpec(key, title, section, table, "", "; ".join((*stamps, "descriptive"))), result, draw
    for row in result["plan"]["levels"]:
        level = result["levels"][row["name"]]
        for key, title, section, table, shown, undecided, draw in _LEVEL:
            if _has(level, key):
                marks = "; ".join((*stamps, mark(result, level, shown, left_out=undecided == OUT)))
                name = level["name"]
                spec = FigureSpec(
                    f"{key}_{name}", f"{title}, {level['title']}", section, f"{table}_{name}", name, marks,
                    _note(result, level, undecided), _beside(result, level) if key == "forest" else "",
                )  # fmt: skip
                yield spec, level, draw
    first = result["levels"][result["plan"]["levels"][0]["name"]]
    for key, title, section, table, draw in _STUDY[1:]:
        if result["sessions"][key]:
            note = _note(result, first, OUT if key == "order" else SILENT)
            yield FigureSpec(key, title, section, table, "", "; ".join((*stamps, "exploratory")), note), result, draw


def _note(result: Result, level: Result, undecided: str) -> str:
    """As the tables say it; the forest plot takes the numbers of endpoints from the endpoints."""
    if undecided == ENDPOINTS and counted_wrong(result, level) and figures_comparison.of_endpoints(result, level):
        return "Rows of endpoints count undecided answers as wrong, as the protocol says; the others leave them out."
    if undecided == SILENT:
        return ""
    return " ".join(undecided_note(result, level, wrong_here=undecided == WRONG))


def _beside(result: Result, level: Result) -> str:
    """Where the forest plot has those numbers from that its own table has not."""
    parts = []
    if figures_comparison.of_endpoints(result, level):
        parts.append("those of endpoints in the table of endpoints")
    if any(pair["kind"] == "ai-reader" and pair["primary"] for pair in level["paired"]):
        parts.append("those of single readers in the table of pairs of evaluators")
    return ", ".join(parts)


def _has(level: Result, key: str) -> bool:
    if key == "kappa":
        return bool(level["pairwise"] or level["intra_observer"])
    if key == "forest":
        return bool(level["ai_vs_readers"])
    return any(pair["metrics"] for pair in level["comparators"]) if key == "comparators" else True
