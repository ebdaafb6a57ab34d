"""A reader's answer as plain data: its one form, what may stand in it, and what is missing before a seal. Pure.

Keys: ``diagnosis`` (a class of the protocol; empty: not decided), ``cannot_decide`` with ``reason``, ``confidence``
(1 to 5), ``recognised`` with ``recognised_note`` (the reader knew the case or saw information), ``key_images``
(positions of fields in this session), ``comment``, ``display`` (brightness and contrast in use).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from leukoweb.core.exceptions import DomainError
from leukoweb.core.numbers import is_number

CONFIDENCE = range(1, 6)
LONGEST = {"reason": 300, "recognised_note": 300, "comment": 4000}
DISPLAY = {"brightness": 1.0, "contrast": 1.0}

# What comes along when text is pasted from Word or a PDF and cannot be printed: breaks become lines, the rest goes.
# Refusing it would keep the diagnosis beside it from being stored.
PASTED = dict.fromkeys((*range(0x20), 0x7F, *range(0xD800, 0xE000))) | {9: "\t", 10: "\n", 11: "\n", 12: "\n", 13: "\n"}

Answer = dict[str, Any]


class AnswerRefused(DomainError):
    code = "E_ANSWER"


def empty_answer() -> Answer:
    """Nothing chosen. Nothing is ever chosen for a reader."""
    return {
        "diagnosis": "",
        "cannot_decide": False,
        "reason": "",
        "confidence": None,
        "recognised": False,
        "recognised_note": "",
        "key_images": [],
        "comment": "",
        "display": dict(DISPLAY),
    }


def answer_clean(raw: Any, *, rules: Mapping[str, Any], n_images: int) -> Answer:
    """The answer in its one form.

    Parameters
    ----------
    rules
        ``classes`` and ``answers`` of the session's rules.

    Raises
    ------
    AnswerRefused
        An unknown key, a class that the protocol does not have, a field that the case does not have, and so on.
    """
    if not isinstance(raw, dict):
        raise AnswerRefused("The answer has to be an object.")
    if unknown := sorted(set(raw) - set(empty_answer())):
        raise AnswerRefused(f"There is no part {unknown[0]!r:.40} in an answer.", field=str(unknown[0])[:40])
    answer = empty_answer() | raw
    asked = rules["answers"]
    for name in ("cannot_decide", "recognised"):
        if not isinstance(answer[name], bool):
            raise AnswerRefused(f"{name} has to be true or false.", field=name)
    for name, longest in LONGEST.items():
        answer[name] = _text(name, answer[name], longest)
    if answer["diagnosis"] not in ("", *rules["classes"]):
        raise AnswerRefused(f"{answer['diagnosis']!r:.40} is not a class of this study.", field="diagnosis")
    if answer["cannot_decide"] and (answer["diagnosis"] or not asked["cannot_decide"]):
        text = "a diagnosis stands beside it" if answer["diagnosis"] else "this study does not allow it"
        raise AnswerRefused(f"“Cannot decide” does not go: {text}.", field="cannot_decide")
    answer["confidence"] = _confidence(answer["confidence"], allowed=asked["confidence"])
    answer["key_images"] = _positions(answer["key_images"], n_images, allowed=asked["key_images"])
    if answer["comment"] and not asked["comment"]:
        raise AnswerRefused("This study takes no comments.", field="comment")
    answer["display"] = _display(answer["display"])
    return answer


def answer_missing(answer: Mapping[str, Any], rules: Mapping[str, Any]) -> list[str]:
    """Parts that a complete answer still needs: ``diagnosis``, ``reason``, ``confidence``; empty when complete."""
    answer = empty_answer() | dict(answer)
    if answer["cannot_decide"]:
        return [] if answer["reason"] else ["reason"]
    missing = [] if answer["diagnosis"] else ["diagnosis"]
    if rules["answers"]["confidence"] and answer["confidence"] is None:
        missing.append("confidence")
    return missing


def _text(name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise AnswerRefused(f"{name} has to be text.", field=name)
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").translate(PASTED)).strip()
    if len(text) > longest:
        raise AnswerRefused(f"{name} has {len(text)} characters; the limit is {longest}.", field=name)
    return text


def _confidence(value: Any, *, allowed: bool) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or value not in CONFIDENCE or not allowed:
        raise AnswerRefused(
            f"Confidence is {value!r:.20}; it is 1 to 5 where the study asks for it.", field="confidence"
        )
    return int(value)


def _positions(value: Any, n_images: int, *, allowed: bool) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise AnswerRefused("key_images has to be a list of field numbers.", field="key_images")
    if value and (not allowed or min(value) < 1 or max(value) > n_images):
        raise AnswerRefused(f"A key field is not one of the {n_images} of this case.", field="key_images")
    return sorted(set(value))


def _display(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or set(value) - set(DISPLAY):
        raise AnswerRefused("display holds brightness and contrast.", field="display")
    found = DISPLAY | value
    for name, number in found.items():
        if not is_number(number):
            raise AnswerRefused(f"{name} has to be a number.", field="display")
    return {name: round(min(max(float(number), 0.1), 5.0), 2) for name, number in found.items()}
