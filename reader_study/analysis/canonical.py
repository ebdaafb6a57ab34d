"""One text for one value: JSON that hashes the same whichever database has reordered its keys."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

DIGITS = 12


def canonical_json(value: Any) -> str:
    """Sorted keys, no blanks, no NaN.

    Example
    -------
    >>> canonical_json({"b": 1.5, "a": [None, "µ"]})
    '{"a":[null,"µ"],"b":1.5}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(value: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def rounded(value: Any) -> Any:
    """Floats to twelve significant digits, so that the last bits of another machine's arithmetic do not show.

    Undefined numbers become None, tuples lists, and -0.0 becomes 0.0.

    Example
    -------
    >>> rounded({"a": 0.1 + 0.2, "b": float("nan")})
    {'a': 0.3, 'b': None}
    """
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return (float(f"{value:.{DIGITS}g}") + 0.0) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")
