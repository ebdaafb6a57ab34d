"""A value as a cell that a spreadsheet shows as it is. Free of Django."""

from __future__ import annotations

from typing import Any, Final

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe before it (OWASP, "CSV Injection").

    Example
    -------
    >>> safe_cell("=1+1"), safe_cell(-0.5), safe_cell("S-01")
    ("'=1+1", -0.5, 'S-01')
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
