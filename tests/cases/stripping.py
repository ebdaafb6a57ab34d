"""How the cleaning tests clean: with the metadata limit of an upload."""

from __future__ import annotations

from cases.cleaning import strip_jpeg

LIMIT = 4_000_000


def strip(data: bytes) -> bytes:
    return strip_jpeg(data, metadata_limit_bytes=LIMIT).content
