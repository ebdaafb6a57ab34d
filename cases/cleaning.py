"""Metadata stripped from JPEG and PNG files at byte level, so that no pixel changes.

A re-save with an imaging library would change JPEG pixels and keeps the JPEG comment. Here the file is walked
segment by segment (`cases.jpeg`, `cases.png`); what is not on the allow-list is left out: EXIF, XMP, IPTC,
comments, embedded previews (also the one inside JFIF), maker notes, PNG text and time, and whatever follows
the end of the image. Colour profiles are kept without their texts (`cases.icc`).
"""

from __future__ import annotations

from cases.jpeg import strip_jpeg
from cases.png import PNG_SIGNATURE, strip_png
from cases.stripped import ImageRefused, Stripped

__all__ = ["ImageRefused", "Stripped", "require_clean", "strip_jpeg", "strip_png"]


def require_clean(content: bytes) -> None:
    """Raise `ImageRefused` (``E_CLEANING``) unless the file is 8-bit RGB and allow-listed throughout.

    It walks the finished file once more and demands that nothing is left to remove, so that a caller that
    is about to store something else than a stripped file finds out before anything is stored.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            again = strip_png(content, metadata_limit_bytes=len(content), keep_palette_alpha=False)
        else:
            again = strip_jpeg(content, metadata_limit_bytes=len(content))
        left = again.removed if again.content == content else [*again.removed, "other bytes"]
        left += ["bytes after the end"] if again.trailing_bytes else []
        left += ["samples that are not 8-bit RGB"] if (again.channels, again.bit_depth) != (3, 8) else []
    except ImageRefused as error:
        left = [error.message]
    if left:
        raise ImageRefused(
            f"The file could not be freed of its metadata; left: {', '.join(left)}.",
            code="E_CLEANING",
            hint="Export the image again as PNG without metadata.",
        )
