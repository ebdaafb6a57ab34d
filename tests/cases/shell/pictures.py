"""Small image files made in code."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(seed: int = 0, *, fmt: str = "PNG", size: tuple[int, int] = (80, 70)) -> bytes:
    """Bytes of a small RGB image; different seeds give different pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, fmt, quality=90)
    return buffer.getvalue()
