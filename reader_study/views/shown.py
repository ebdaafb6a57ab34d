"""A protocol in words, for the readable page and the lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reader_study.designer_form import COMPARISON_WORDS, METRIC_WORDS, SECTIONS, session_words

Shown = list[tuple[str, str, list[tuple[str, Any]]]]


def protocol_sections(document: Mapping[str, Any]) -> Shown:
    """(key, title, [(label, value)]) in the order of the designer; every item of the document is in it once."""
    return [(key, title, _rows(key, items, document)) for key, title, items in SECTIONS]


_LABELS = {item.path: item.label for _, _, items in SECTIONS for item in items}


def place_words(path: str) -> str:
    """Where in the designer a problem is: ``readers.2.username`` -> Reader 2, ``cases.cohort`` -> Cohort."""
    first, _, rest = path.partition(".")
    if first in ("readers", "endpoints") and rest:
        return f"{first[:-1].capitalize()} {rest.partition('.')[0]}"
    while path:
        if path in _LABELS:
            return _LABELS[path]
        path = path.rpartition(".")[0]
    return first.replace("_", " ").capitalize() or "Protocol"


def _rows(key: str, items: Any, document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if key == "readers":
        return [(reader["label"] or "(no label)", _reader(reader)) for reader in document["readers"]]
    rows = [(item.label, _words(_at(document, item.path))) for item in items]
    if key == "endpoints":
        ends = [
            f"{METRIC_WORDS[e['metric']]}: {COMPARISON_WORDS[e['comparison']].lower()} ({e['role']})"
            for e in document["endpoints"]
        ]
        rows.insert(0, ("Endpoints", "\n".join(ends) or "none"))
    return rows


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value[key]
    return value


def _words(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        named = "name" in value and "version" in value
        return (
            f"{value['name']} {value['version']}"
            if named
            else "\n".join(f"{k}: {v}" for k, v in value.items()) or "none"
        )
    if isinstance(value, list):
        return "\n".join(str(_words(item)) for item in value) or "none"
    return "none" if value is None or value == "" else value


def _reader(reader: Mapping[str, Any]) -> str:
    years = "years not stated" if reader["years"] is None else f"{reader['years']} years"
    who = reader["username"] or "read elsewhere"
    parts = [who, years, reader["specialty"], reader["training"], f"sessions: {session_words(reader['sessions'])}"]
    return "; ".join(part for part in parts if part)
