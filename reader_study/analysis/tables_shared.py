"""What the tables of a level have in common: marks, keys, names of metrics."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from reader_study.analysis.endpoints import METRIC_TITLES
from reader_study.analysis.table_model import Table

Result = Mapping[str, Any]
Row = dict[str, Any]
EXPLORATORY = "exploratory"
CLASS_METRICS = ("ppv", "sensitivity", "f1", "specificity", "npv")
COMPARED = ("macro_ppv", "macro_sensitivity", "macro_f1", "accuracy", "macro_specificity", "macro_npv")


def ordered(found: Mapping[str, Any] | None, names: Iterable[str]) -> list[tuple[str, Any]]:
    """Items in a fixed order: a database may hand back the keys of a result in another one."""
    return [(name, found[name]) for name in names if found and name in found]


def mark(result: Result, level: Result, *metrics: str) -> str:
    """Exploratory, save for the metrics that an endpoint named before the lock at this level."""
    if level["name"] != result["plan"]["levels"][0]["name"]:
        return EXPLORATORY
    named = {row["metric"] for row in result["endpoints"] if row["prespecified"]} & set(metrics)
    if not named:
        return EXPLORATORY
    return f"exploratory except {', '.join(METRIC_TITLES[m] for m in METRIC_TITLES if m in named)} (pre-specified)"


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


def undecided_note(result: Result, *, wrong_here: bool) -> tuple[str, ...]:
    """What a table does with undecided answers, where the protocol counts them as wrong and there are any."""
    rule = result["plan"]["missing"] == "wrong" and result.get("edition", 1) > 1
    if not rule or not any(about["n_undecided"] for about in result["evaluators"]):
        return ()
    if wrong_here:
        return ("Undecided answers count as wrong, as the protocol says.",)
    return ("Undecided answers are left out here; the endpoints count them as wrong, as the protocol says.",)


def metric_title(name: str) -> str:
    return METRIC_TITLES["accuracy" if name == "accuracy" else f"macro_{name}"]
