"""Numbers from outside: what a database column and a float can hold, and nothing longer. Free of Django.

Python reads whole numbers of any length, up to 4,300 digits by default: longer ones are an error of their own
(``int``), and those that no float holds are one as soon as they meet a float (``math.isfinite``, ``format``).
"""

from __future__ import annotations

import json
import math
from typing import Any

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


def is_number(value: Any) -> bool:
    """Whether it is a finite int or float that a double can hold; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= WHOLE_MAX if isinstance(value, int) else math.isfinite(value)
