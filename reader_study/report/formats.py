"""The formats that a figure is drawn in; apart from the drawing, which loads matplotlib."""

from __future__ import annotations

from typing import Final

CONTENT_TYPES: Final = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}
