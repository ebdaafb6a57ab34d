"""Numbers from outside: what a database column and a float can hold, and nothing longer. Free of Django.

Python reads whole numbers of any length, up to 4,300 digits by default: longer ones are an error of their own
(``int``), and those that no float holds are one as soon as they meet a float (``math.isfinite``, ``format``).
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from leukoweb.core.exceptions import DomainError

WHOLE_MAX = 2**63 - 1  # BIGINT; 19 digits


def parse_int(text: str) -> int:
    """A whole number as JSON writes it; DomainError beyond 64 bits."""
    if len(text) > 20 or abs(number := int(text)) > WHOLE_MAX:
        raise DomainError(f"A whole number of {len(text.lstrip('-'))} digits is too large; the limit is {WHOLE_MAX}.")
    return number


def parse_float(text: str) -> float:
    """A number with a point or an exponent; DomainError where no double holds it."""
    number = float(text)
    if not math.isfinite(number):
        raise DomainError(f"The number {text:.40} is too large.")
    return number


def json_read(text: str, **hooks: Any) -> Any:
    """``json.loads`` with these two. Raises DomainError and ``json.JSONDecodeError``."""
    return json.loads(text, parse_int=parse_int, parse_float=parse_float, **hooks)


def json_strict(text: str, **hooks: Any) -> Any:
    """``json_read`` of what is to be stored: without NaN and infinities, NULs and halves of surrogate pairs, which no
    database takes. Raises DomainError and ``json.JSONDecodeError``."""
    try:
        value = json_read(text, parse_constant=_refuse_constant, **hooks)
        _refuse_odd_text(value)
    except RecursionError as error:
        raise DomainError("The JSON is nested too deeply.", code="E_JSON_DEPTH") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise DomainError(f"{name} is not a number in JSON.", code="E_JSON")


def _refuse_odd_text(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise DomainError("A text holds a NUL or half of a surrogate pair.", code="E_TEXT")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_odd_text(key)
            _refuse_odd_text(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd_text(item)


def is_number(value: Any) -> bool:
    """Whether it is a finite int or float that a double can hold; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= WHOLE_MAX if isinstance(value, int) else math.isfinite(value)
