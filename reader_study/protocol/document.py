"""The protocol document: what a reader study binds itself to, as plain data.

One document has three faces: the designer's form, a YAML file (`yaml_io`) and the locked row with its SHA-256. All
three hold the canonical form that `canonical` gives: every key present, in the order of `SCHEMA`, texts composed and
trimmed. Keys, with what they mean, stand beside each other below; `default_document` is a complete example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cases.taxonomy import FIVE_CLASSES, FIVE_TO_THREE, THREE_CLASSES, TWO_CLASSES
from leukoweb.core.exceptions import DomainError
from reader_study.protocol.nodes import (
    AllOrList,
    Boolean,
    Choice,
    Day,
    Integer,
    ListOf,
    Number,
    Optional,
    Problem,
    Record,
    Table,
    Text,
)

SCHEMA_ID: Final = "leukoweb/protocol/1"
ARMS: Final = ("blinded", "ai_assisted")
WASHOUT_PRESETS: Final = (14, 28, 42)
CLASS_MAPS: Final[Mapping[str, tuple[str, ...]]] = {"five": FIVE_CLASSES, "three": THREE_CLASSES, "two": TWO_CLASSES}
METRICS: Final = (
    "accuracy", "macro_f1", "macro_sensitivity", "macro_specificity", "macro_ppv", "inter_observer_kappa",
    "intra_observer_kappa", "ai_reader_kappa",
)  # fmt: skip
COMPARISONS: Final = ("none", "ai_vs_reader_mean", "ai_vs_each_reader", "ai_vs_comparators", "with_vs_without_ai")
# What can be compared of an agreement; every other metric has every comparison.
KAPPA_COMPARISONS: Final[Mapping[str, tuple[str, ...]]] = {
    "inter_observer_kappa": ("none", "ai_vs_reader_mean"),
    "intra_observer_kappa": ("none",),
    "ai_reader_kappa": ("none", "ai_vs_reader_mean", "ai_vs_each_reader"),
}
MARGIN_COMPARISONS: Final = ("ai_vs_reader_mean", "with_vs_without_ai")  # one number over the readers, so a verdict
PANEL: Final = "Panel"  # label of the panel that reads again after the unblinding; no reader has it
MISSING_RULES: Final = ("exclude", "wrong")
MAX_SESSIONS: Final = 6
MAX_READERS: Final = 40
MAX_CASES: Final = 5_000

_CLASS_NAME = r"[A-Z][A-Z0-9_]{0,39}"
_CODE = Text(60)

_READER = Record(
    {
        "label": Text(20, pattern=r"[A-Za-z0-9][A-Za-z0-9 ._-]*"),  # as in tables: P1
        "username": Text(150),  # empty only in a study whose readings are imported
        "years": Integer(0, 70, None, nullable=True),  # of experience with blood smears
        "specialty": Text(120),
        "training": Text(300),
        "sessions": ListOf(Choice(ARMS, "blinded"), MAX_SESSIONS, ("blinded",)),  # the arm of session 1, 2, ...
    }
)
_PIPELINE = Record({"name": Text(80), "version": Text(40)})
_ENDPOINT = Record(
    {
        "metric": Choice(METRICS, "macro_f1"),
        "role": Choice(("primary", "secondary"), "secondary"),
        "comparison": Choice(COMPARISONS, "none"),
    }
)

SCHEMA: Final = Record(
    {
        "schema": Choice((SCHEMA_ID,), SCHEMA_ID),
        "title": Text(160),
        "question": Text(2_000, lines=True),
        "classes": Record(
            {
                "map": Choice((*CLASS_MAPS, "custom"), "five"),
                "names": ListOf(Text(40, pattern=_CLASS_NAME), 12, FIVE_CLASSES),  # in the order of keys and tables
                # Only for a custom map: reference diagnosis (one of five) -> class.
                "reference_map": Table(Text(12), Text(40, pattern=_CLASS_NAME)),
            }
        ),
        "cases": Record(
            {
                "cohort": Text(80),
                "patients": AllOrList(ListOf(_CODE, MAX_CASES)),  # all of the cohort, or these codes
                "training": ListOf(_CODE, 100),  # read before the real ones, never analysed; not among patients
            }
        ),
        "images_per_case": Record(
            {
                "rule": Choice(("all", "fixed"), "all"),
                "k": Integer(1, 500, None, nullable=True),
                "seed": Integer(0, 2**31 - 1, 1),
            }
        ),
        "arms": ListOf(Choice(ARMS, "blinded"), 2, ("blinded",)),
        "readers": ListOf(_READER, MAX_READERS),
        "primary_session": Integer(1, MAX_SESSIONS, 1),
        "washout_days": Integer(0, 730, 42),
        "order_seed": Integer(0, 2**31 - 1, 1),
        "answers": Record(
            {
                "confidence": Boolean(True),  # 1 (guess) to 5 (certain)
                "cannot_decide": Boolean(True),
                "reasons": ListOf(
                    Text(100), 12, ("Too few cells", "Poor image quality", "Not typical of any class", "Other")
                ),
                "key_images": Boolean(True),
                "comment": Boolean(True),
            }
        ),
        "navigation": Choice(("forward_only", "free"), "free"),  # free: until the session is sealed
        "viewer": Record({"zoom": Choice(("kept", "reset"), "kept"), "brightness_contrast": Boolean(True)}),
        "require_all_viewed": Boolean(True),
        "idle_minutes": Integer(1, 240, 20),
        "ai": Record({"primary": Optional(_PIPELINE), "comparators": ListOf(_PIPELINE, 10)}),
        "endpoints": ListOf(
            _ENDPOINT, 20, ({"metric": "macro_f1", "role": "primary", "comparison": "ai_vs_reader_mean"},)
        ),
        "non_inferiority_margin": Number(0.0, 1.0, None, nullable=True),  # of the primary endpoint; 0 < margin < 1
        "analysis": Record(
            {
                "level": Number(0.5, 0.999, 0.95),
                "resamples": Integer(100, 100_000, 2_000),
                "seed": Integer(0, 2**31 - 1, 1),
                "missing": Choice(MISSING_RULES, "exclude"),  # "cannot decide": left out, or counted as wrong
            }
        ),
        "planning": Record(  # what the planner assumed; the sample size is justified by it
            {
                "sensitivity": Number(0.0, 1.0, 0.9),
                "specificity": Number(0.0, 1.0, 0.95),
                "kappa": Number(-1.0, 1.0, 0.8),
                "seconds_per_image": Number(0.5, 600.0, 4.0),
                "seconds_per_case": Number(0.0, 3_600.0, 30.0),
                "expected_per_class": ListOf(Integer(0, MAX_CASES, 0), 12),  # empty: equal numbers of each class
                "justification": Text(2_000, lines=True),
            }
        ),
        "closes_on": Day(),  # may be moved by an amendment
        "consent": Text(8_000, lines=True),
        "instructions": Text(8_000, lines=True),
    }
)


class ProtocolRefused(DomainError):
    """A document with problems; ``problems`` holds all of them."""

    code = "E_PROTOCOL"

    def __init__(self, problems: list[Problem]) -> None:
        shown = " ".join(str(problem) for problem in problems[:10])
        more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
        count = f"{len(problems)} problems. " if len(problems) > 1 else ""
        super().__init__(f"{count}{shown}{more}", hint=problems[0].hint, field=problems[0].path)
        self.problems = tuple(problems)


def default_document() -> dict[str, Any]:
    """A new, still incomplete protocol."""
    return SCHEMA.default()


def clean(document: Any) -> tuple[dict[str, Any], list[Problem]]:
    """The document in canonical form and what had to be changed or left out for it (types, limits, unknown keys)."""
    problems: list[Problem] = []
    cleaned = SCHEMA.clean(document, "", problems)
    if isinstance(document, dict) and "schema" not in document:
        problems.append(Problem("schema", "The schema is missing.", f"Write schema: {SCHEMA_ID} at the top."))
    return cleaned, problems


def canonical(document: Any) -> dict[str, Any]:
    """The one form in which a protocol is stored, hashed and compared. Idempotent.

    Raises
    ------
    ProtocolRefused
        The document is not built right. Whether it says enough to be locked is `validate`'s question.
    """
    cleaned, problems = clean(document)
    if problems:
        raise ProtocolRefused(problems)
    return cleaned


def protocol_sha256(document: Any) -> str:
    """SHA-256 of the canonical document as JSON with sorted keys, so that the database may reorder them."""
    return locked_sha256(canonical(document))


def locked_sha256(document: Any) -> str:
    """``protocol_sha256`` of a document that was in its canonical form when it was locked, perhaps by a program with
    fewer keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def reference_map(document: Mapping[str, Any]) -> dict[str, str]:
    """Reference diagnosis (one of five) -> class of the study."""
    classes = document["classes"]
    if classes["map"] == "custom":
        return dict(classes["reference_map"])
    if classes["map"] == "three":
        return dict(FIVE_TO_THREE)
    if classes["map"] == "two":
        return {name: name if name == "NO_LEUKEMIA" else "LEUKEMIA" for name in FIVE_CLASSES}
    return {name: name for name in FIVE_CLASSES}


def primary_number(sessions: Sequence[str], wanted: int) -> int | None:
    """Number of the session that the main analysis takes of a reader with these arms: ``wanted``, or, for who sees
    the AI in that one (the other half of a crossover), the first blinded one. None: there is no such session."""
    if not 1 <= wanted <= len(sessions):
        return None
    if sessions[wanted - 1] == "blinded":
        return wanted
    return sessions.index("blinded") + 1 if "blinded" in sessions else None


def reader_rules(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader's pages may know of the protocol: no case, no other reader, no AI, no endpoint."""
    kept = (
        "title", "question", "answers", "navigation", "viewer", "require_all_viewed", "idle_minutes", "washout_days",
        "consent", "instructions", "closes_on",
    )  # fmt: skip
    return {"classes": list(document["classes"]["names"]), **{key: document[key] for key in kept}}
