"""A complete protocol to start tests from, and one drawn at random from the schema."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reader_study.protocol import canonical, default_document
from reader_study.protocol.document import SCHEMA
from reader_study.protocol.nodes import (
    AllOrList,
    Boolean,
    Choice,
    Day,
    Integer,
    ListOf,
    Node,
    Number,
    Optional,
    Record,
    Table,
    Text,
)


def reader(label: str, username: str, sessions: tuple[str, ...] = ("blinded",)) -> dict[str, Any]:
    return {"label": label, "username": username, "years": 10, "specialty": "Haematopathology", "training": "",
            "sessions": list(sessions)}  # fmt: skip


def complete(**changes: Any) -> dict[str, Any]:
    """A protocol that can be locked, apart from what the database has to say."""
    document = default_document() | {
        "title": "Leukemia on smears",
        "question": "Is the pipeline as good as pathologists?",
        "consent": "I agree to read blinded.",
        "instructions": "One diagnosis for each patient, from all fields.",
        "readers": [reader("P1", "p1", ("blinded", "blinded")), reader("P2", "p2"), reader("P3", "p3")],
        "ai": {"primary": {"name": "starter", "version": "1"}, "comparators": []},
        "non_inferiority_margin": 0.1,
    }
    document["cases"]["cohort"] = "External"
    document["planning"]["justification"] = "As many as were available."
    return canonical(document | changes)


_TRAPS = [
    "NO", "yes", "1e3", "0x1f", "017", "1:30", "2020-01-01", "~", "- a", "#", "é", "e\u0301", "a: b", "'", '"', "{x}",
    "!tag", "&a", "*a", "%", "@", "`", "|", ">", "null", "true", "1_000", ".inf", "=", "<<", "?", "---", "...",
    "\U0001f52c", "\u3000x", "\xa0",
]  # fmt: skip


def drawn(node: Node) -> st.SearchStrategy[Any]:
    """Any value that the node takes, also badly kept ones (blanks, composed and decomposed letters)."""
    match node:
        case Record():
            return st.fixed_dictionaries({name: drawn(inner) for name, inner in node.fields.items()})
        case ListOf():
            return st.lists(drawn(node.item), max_size=min(4, node.max_items))
        case AllOrList():
            return st.just("all") | drawn(node.items)
        case Optional():
            return st.none() | drawn(node.node)
        case Table():
            return st.dictionaries(drawn(node.keys), drawn(node.values), max_size=3)
        case Text():
            if node.pattern:
                return st.from_regex(node.pattern, fullmatch=True).filter(lambda text: len(text) <= node.max_length)
            odd = st.sampled_from(_TRAPS)
            free = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"],
                                         exclude_characters="\u2028\u2029\ufeff\ufffe\uffff"), max_size=30)  # fmt: skip
            single = odd | free | st.builds("{} {}".format, odd, free)
            many = st.lists(single, max_size=4).map("\n".join) if node.lines else single
            return many.filter(lambda text: len(text) <= node.max_length)
        case Integer():
            whole = st.integers(node.low, node.high)
            return st.none() | whole if node.nullable else whole
        case Number():
            real = st.floats(node.low, node.high)
            return st.none() | real if node.nullable else real
        case Boolean():
            return st.booleans()
        case Choice():
            return st.sampled_from(node.options)
        case Day():
            return st.none() | st.dates().map(lambda day: day.isoformat())
    raise AssertionError(node)


documents = drawn(SCHEMA).map(canonical)
