"""What the statistics commands share: reading a table as text, and lists of names in an option."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from django.core.management.base import CommandError


def read_text(name: str) -> str:
    """A UTF-8 file (a byte order mark is dropped), or standard input for ``-``.

    Errors: ``CommandError`` for a file that is missing, unreadable, a folder, or not UTF-8.
    """
    try:
        return (sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text: {error}. Save it as CSV UTF-8.") from error
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror or error}.") from error


def read_lines(name: str) -> list[str]:
    """The lines of ``read_text``."""
    return read_text(name).splitlines()


def split_names(text: str) -> tuple[str, ...]:
    """Names separated by commas; a name with a comma stands in double quotes.

    >>> split_names('ALL, "AML, other"')
    ('ALL', 'AML, other')
    """
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return tuple(name.strip() for name in cells if name.strip())
