"""Limits on image files, and the notes that accepted ones carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cases.stripped import ImageRefused, corrupt


@dataclass(frozen=True)
class Limits:
    """What an image file may have at most, and at least.

    The defaults take the fields of common microscope cameras (1600 x 1200 to 20 Mpx) and bound the memory that one
    file can cost: 40 Mpx are 120 MB as RGB.
    """

    file_bytes: int = 25_000_000
    side_px_min: int = 64
    side_px_max: int = 8192
    pixels_max: int = 40_000_000
    aspect_max: float = 4.0
    metadata_bytes: int = 4_000_000


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Note:
    """A remark that stays with an accepted image.

    `code` begins with ``N_`` where something was changed in a known, harmless way and with ``W_`` where a person
    should look; `message` is one sentence without values that could identify anybody.
    """

    code: str
    message: str

    @property
    def needs_attention(self) -> bool:
        return self.code.startswith("W_")


def require_size(width_px: int, height_px: int, limits: Limits) -> None:
    """Refuse a size read from a header, before anything is decoded.

    Raises
    ------
    ImageRefused
        E_CORRUPT (no pixels), E_PIXELS, E_TOO_SMALL or E_ASPECT.
    """
    size = f"{width_px:,} x {height_px:,} px"
    if width_px < 1 or height_px < 1:
        raise corrupt(f"its header says {size}")
    if width_px * height_px > limits.pixels_max or max(width_px, height_px) > limits.side_px_max:
        raise ImageRefused(
            f"The image has {size} ({width_px * height_px / 1e6:,.1f} Mpx); the limit is "
            f"{limits.pixels_max / 1e6:g} Mpx and {limits.side_px_max:,} px per side.",
            code="E_PIXELS",
            hint="Export single high-power fields; whole-slide scans are not read.",
        )
    if min(width_px, height_px) < limits.side_px_min:
        raise ImageRefused(
            f"The image has {size}; the minimum is {limits.side_px_min} x {limits.side_px_min} px.",
            code="E_TOO_SMALL",
            hint="Upload the full field, not a thumbnail.",
        )
    if max(width_px, height_px) > limits.aspect_max * min(width_px, height_px):
        raise ImageRefused(
            f"The image has {size}; one side may be at most {limits.aspect_max:g} times the other.",
            code="E_ASPECT",
            hint="Upload the full field, not a strip or a panorama.",
        )
