"""Texts in tables that a spreadsheet opens: none of them is computed (OWASP, "CSV Injection")."""

from __future__ import annotations

from typing import Any, Final

# Also in their full-width forms, which some spreadsheets take for the plain ones.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "|", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe_text(text: str) -> str:
    """A text that a spreadsheet would compute gets an apostrophe before it; a lone dash is left alone.

    Example
    -------
    >>> safe_text("=1+1"), safe_text("AML"), safe_text("-")
    ("'=1+1", 'AML', '-')
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) and text != "-" else text


def safe_cell(value: Any) -> Any:
    """Texts made safe; numbers, also negative ones, stay numbers."""
    return safe_text(value) if isinstance(value, str) else value
