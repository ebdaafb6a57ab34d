"""Small words for people."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """``counted(1, "image")`` is "1 image", ``counted(0, "image")`` "0 images"; odd plurals are given."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
