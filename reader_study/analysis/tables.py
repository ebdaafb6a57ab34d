"""Every table of a result, in the order of the report. The one place where rows are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reader_study.analysis import tables_level, tables_study
from reader_study.analysis.table_model import Table

SECTIONS = (
    ("endpoints", "Endpoints of the protocol"),
    ("participants", "Participants and readers"),
    ("accuracy", "Evaluators against the reference"),
    ("agreement", "Agreement"),
    ("comparison", "AI against readers"),
    ("cases", "Cases"),
    ("sessions", "Sessions and subgroups"),
    ("remarks", "Remarks"),
)


def result_tables(result: Mapping[str, Any]) -> list[Table]:
    """All tables that the result has rows for, sections in order, levels in the order of the protocol."""
    order = [key for key, _ in SECTIONS]
    found = [table for table in _every(result) if table.rows]
    stamps = tuple(result["marks"]["words"])
    return [replace(t, stamps=stamps) for t in sorted(found, key=lambda t: order.index(t.section))]


def _every(result: Mapping[str, Any]) -> Iterator[Table]:
    yield from tables_study.study_tables(result)
    for row in result["plan"]["levels"]:
        yield from tables_level.level_tables(result, result["levels"][row["name"]])
    yield from tables_study.session_tables(result)
    yield tables_study.remarks_table(result)
