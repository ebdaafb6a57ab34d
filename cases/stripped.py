"""What the byte-level cleaners share: the refusal, the result, and the orientation tag."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from leukoweb.core.exceptions import DomainError


class ImageRefused(DomainError):
    """An image file that cannot be taken in; the message holds the found value, the limit and what to do."""

    code = "E_CORRUPT"


@dataclass
class Stripped:
    """A file without its metadata, and what its headers say.

    Attributes
    ----------
    content
        The cleaned file.
    width_px, height_px, channels, bit_depth
        From the file's own header. `channels` counts samples per pixel, 1 for a PNG palette.
    orientation
        EXIF orientation 1 to 8; 1 where none is stated.
    removed, removed_bytes
        Names of what was left out ("EXIF", "comment"), without their values, and how long it was.
    trailing_bytes
        Length of what followed the end of the image.
    """

    content: bytes = b""
    width_px: int = 0
    height_px: int = 0
    channels: int = 0
    bit_depth: int = 0
    orientation: int = 1
    removed: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    trailing_bytes: int = 0
    metadata_limit_bytes: int = 4_000_000

    def drop(self, name: str, size_bytes: int) -> None:
        """Record that `name` is left out; refuses a file whose metadata exceeds the limit."""
        if name not in self.removed:
            self.removed.append(name)
        self.removed_bytes += size_bytes
        if self.removed_bytes > self.metadata_limit_bytes:
            raise too_much_metadata(self.removed_bytes, self.metadata_limit_bytes)


def truncated(what: str) -> ImageRefused:
    return ImageRefused(
        f"The file ends early: {what}.",
        code="E_TRUNCATED",
        hint="Copy it from the camera again and upload it again.",
    )


def corrupt(what: str) -> ImageRefused:
    return ImageRefused(
        f"The file is damaged: {what}.", code="E_CORRUPT", hint="Export the image again, as PNG if possible."
    )


def too_much_metadata(found_bytes: int, limit_bytes: int) -> ImageRefused:
    return ImageRefused(
        f"The file carries {found_bytes:,} bytes of metadata or more; the limit is {limit_bytes:,}.",
        code="E_METADATA_TOO_LARGE",
        hint="Export the image without embedded metadata.",
    )


def exif_orientation(tiff: bytes) -> int:
    """Orientation tag (1 to 8) of an EXIF block (from its TIFF header on); 1 where absent or unreadable."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if entry + 12 > len(tiff):
            break
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112 and kind == 3:
            return value if 1 <= value <= 8 else 1
    return 1
