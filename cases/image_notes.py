"""What was changed when an image came in, as one cell of a table: ``CODE: words | CODE: words``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cases.limits import Note

KEPT: Final = frozenset(
    {"N_PALETTE", "N_GREY", "N_16BIT", "N_ALPHA_DROPPED", "N_ROTATED", "N_CONVERTED", "N_METADATA_REMOVED"}
)
"""Of the pixels and the file. What hangs on the name is not told, what hangs on the pixels alone is found again."""
_ONE: Final = re.compile(r"([NW]_[A-Z0-9_]{1,40}): (.{1,300})", re.DOTALL)


def written(notes: Iterable[Mapping[str, Any]]) -> str:
    """Of stored notes ``{code, message}``."""
    kept = [note for note in notes if note.get("code") in KEPT]
    return " | ".join(f"{note['code']}: {str(note['message']).replace('|', '/')}" for note in kept)


def read_notes(cell: str) -> tuple[Note, ...]:
    """What `written` wrote; anything else in the cell is passed over."""
    found = (_ONE.fullmatch(part.strip()) for part in cell.split(" | "))
    return tuple(Note(match[1], match[2]) for match in found if match and match[1] in KEPT)
