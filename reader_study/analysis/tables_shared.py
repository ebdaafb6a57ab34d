"""What the tables of a level have in common: marks, keys, names of metrics."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reader_study.analysis.endpoints import METRIC_TITLES
from reader_study.analysis.table_model import Table

Result = Mapping[str, Any]
Row = dict[str, Any]
Named = tuple[str, str]  # metric and comparison of an endpoint
EXPLORATORY = "exploratory"
CLASS_METRICS = ("ppv", "sensitivity", "f1", "specificity", "npv")
COMPARED = ("macro_ppv", "macro_sensitivity", "macro_f1", "accuracy", "macro_specificity", "macro_npv")


def ordered(found: Mapping[str, Any] | None, names: Iterable[str]) -> list[tuple[str, Any]]:
    """Items in a fixed order: a database may hand back the keys of a result in another one."""
    return [(name, found[name]) for name in names if found and name in found]


def mark(result: Result, level: Result, shown: Iterable[Named], *, left_out: bool = False) -> str:
    """Exploratory, save for what an endpoint named before the lock at this level and what is ``shown`` here.

    ``left_out``: the table leaves undecided answers out. Where the endpoints count some of the AI or of a primary
    session as wrong, its numbers are not theirs, and none of them was pre-specified.
    """
    wrong = counted_wrong(result, level, by=main_names(result))
    if level["name"] != result["plan"]["levels"][0]["name"] or (left_out and wrong):
        return EXPLORATORY
    return _marked({row["metric"] for row in result["endpoints"] if row["prespecified"]
                    and (row["metric"], row["comparison"]) in set(shown)})  # fmt: skip


def table_mark(
    result: Result, level: Result, shown: Collection[Named], *, left_out: bool = False, since: int = 1
) -> str:
    """``mark`` as a table exports it. Up to the second edition only the tables with ``since`` 1 said so, and any
    comparison of a metric marked it."""
    if result.get("edition", 1) > 2:
        return mark(result, level, shown, left_out=left_out)
    if since > 1 or level["name"] != result["plan"]["levels"][0]["name"]:
        return EXPLORATORY
    endpoints = [row for row in result["endpoints"] if row["prespecified"]]
    if all(comparison == "ai_vs_reader_mean" for _, comparison in shown):
        metrics = {row["metric"] for row in result["endpoints"] if row["comparison"] == "ai_vs_reader_mean"}
    else:
        metrics = {metric for metric, _ in shown}
    return _marked({row["metric"] for row in endpoints} & metrics & {metric for metric, _ in shown})


def _marked(metrics: set[str]) -> str:
    if not metrics:
        return EXPLORATORY
    return f"exploratory except {', '.join(METRIC_TITLES[m] for m in METRIC_TITLES if m in metrics)} (pre-specified)"


def level_table(level: Result, key: str, title: str, section: str, columns: Any, rows: Any, **more: Any) -> Table:
    more.setdefault("mark", EXPLORATORY)
    return Table(
        f"{key}_{level['name']}", f"{title}, {level['title']}", section, tuple(columns), tuple(rows),
        level=level["name"], **more,
    )  # fmt: skip


def slug(name: str) -> str:
    """The name as a part of a file name or address: letters and digits, else a dash and a short hash.

    Example
    -------
    >>> slug("P1-1"), slug("Starter 1/0")
    ('P1-1', 'Starter-1-0-8ff3a4')
    """
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".strip("-")


def main_names(result: Result) -> set[str]:
    """The AI and the primary blinded sessions, which the endpoints without and against the AI are of."""
    return {e["name"] for e in result["evaluators"] if e["role"] == "ai" or (
        e["role"] == "reader" and e["primary"] and e["arm"] != "ai_assisted")}  # fmt: skip


def row_mark(result: Result, *, endpoint: bool) -> Row:
    """What a row says that no endpoint is about, in a table that holds some; since the third edition."""
    return {} if endpoint or result.get("edition", 1) < 3 else {"mark": EXPLORATORY}


def counted_wrong(result: Result, level: Result, *, by: Collection[str] | None = None) -> bool:
    """Whether there are undecided answers at a level (of these evaluators) that the endpoints count as wrong."""
    if result["plan"]["missing"] != "wrong" or result.get("edition", 1) < 2:
        return False
    return any(by is None or row["evaluator"] in by for row in level["undecided"])


def undecided_note(result: Result, level: Result, *, wrong_here: bool) -> tuple[str, ...]:
    """What a table does with undecided answers, where the protocol counts them as wrong and there are any."""
    if not counted_wrong(result, level):
        return ()
    if wrong_here:
        return ("Undecided answers count as wrong, as the protocol says.",)
    return ("Undecided answers are left out here; the endpoints count them as wrong, as the protocol says.",)


def kappa_note(result: Result, level: Result, more: str = "") -> tuple[str, ...]:
    """What agreement does with undecided answers, where the protocol counts them as wrong and there are any."""
    if not counted_wrong(result, level):
        return ()
    return (f"Agreement is that of the classes given: undecided answers are left out, in endpoints, too.{more}",)


def metric_key(name: str) -> str:
    """One of the five metrics as an endpoint calls it."""
    return "accuracy" if name == "accuracy" else f"macro_{name}"


def metric_title(name: str) -> str:
    return METRIC_TITLES[metric_key(name)]
