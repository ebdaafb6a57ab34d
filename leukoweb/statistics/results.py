"""Result objects shared by the whole library, and the one way from numbers to JSON.

NaN and infinity mean "undefined" inside the library; JSON knows neither, so both leave it as ``null``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

NAN = float("nan")


class StatisticsError(ValueError):
    """The table or an option cannot be analysed as asked.

    Attributes
    ----------
    message
        One sentence: what is wrong, with the value that was found.
    code
        Stable identifier such as ``E_TABLE``.
    hint
        What to do now; may be empty.
    field
        Name of the option or column that is wrong; may be empty.
    """

    def __init__(self, message: str, *, code: str = "E_STATISTICS", hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.field = field


def to_json_value(value: Any) -> Any:
    """Plain JSON types from numpy scalars, arrays, result objects and containers; NaN and infinity become
    None.

    Errors: ``TypeError`` for an object with no JSON meaning, so that nothing is silently turned into a
    string.

    Example
    -------
    >>> to_json_value({"a": float("nan"), "b": [1.5]})
    {'a': None, 'b': [1.5]}
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return to_json_value(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(item) for item in value]
    if hasattr(value, "as_dict"):
        return to_json_value(value.as_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json_value({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    raise TypeError(f"{type(value).__name__} has no JSON form")


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    estimate
        Point estimate; NaN where it is undefined (for example sensitivity of a class without a true case).
    low, high
        Two-sided interval at ``level``; NaN where there is none. They are never widened or narrowed silently:
        ``method`` and ``note`` say which interval it is and which fallback was taken.
    method
        Name of the interval method: ``wilson``, ``clopper-pearson``, ``bootstrap-bca``, ``analytic``,
        ``none`` ...
    n
        Units that the estimate rests on: the denominator of a proportion, else the number of cases.
    se
        Standard error where the method has one.
    level
        Coverage that the interval aims at.
    numerator, denominator
        Raw counts of a proportion.
    note
        One sentence for the reader of the report; empty when there is nothing to say.
    """

    estimate: float
    low: float
    high: float
    method: str
    n: int
    se: float | None = None
    level: float = 0.95
    numerator: int | None = None
    denominator: int | None = None
    note: str = ""

    @classmethod
    def undefined(cls, n: int, note: str, *, level: float = 0.95) -> Estimate:
        """An estimate that does not exist, with the reason."""
        return cls(NAN, NAN, NAN, "none", n, level=level, note=note)

    @property
    def defined(self) -> bool:
        """Whether the point estimate is a finite number."""
        return math.isfinite(self.estimate)

    @property
    def has_interval(self) -> bool:
        """Whether both limits are finite numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: NaN and infinity as None; optional fields only where they carry something."""
        out: dict[str, Any] = {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "n": self.n,
            "level": self.level,
        }
        for name in ("se", "numerator", "denominator"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        if self.note:
            out["note"] = self.note
        plain: dict[str, Any] = to_json_value(out)
        return plain


@dataclasses.dataclass(frozen=True, slots=True)
class TestResult:
    """A hypothesis test.

    Attributes
    ----------
    statistic
        Test statistic (chi-square, z, or the discordant count of an exact test); NaN where undefined.
    df
        Degrees of freedom; None for tests without any (exact tests, z tests); 0 when no class can be
        compared.
    p
        Two-sided p value; NaN where undefined.
    method
        Name of the test.
    n
        Cases that entered the test.
    note
        One sentence about a special case; empty otherwise.
    """

    __test__ = False  # pytest would otherwise collect the class as a test case

    statistic: float
    df: float | None
    p: float
    method: str
    n: int
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: NaN and infinity as None."""
        out: dict[str, Any] = {
            "statistic": self.statistic,
            "df": self.df,
            "p": self.p,
            "method": self.method,
            "n": self.n,
        }
        if self.note:
            out["note"] = self.note
        plain: dict[str, Any] = to_json_value(out)
        return plain
