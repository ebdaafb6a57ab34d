"""Image files for tests, made in code: variants of one noisy field, and broken or hostile files."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SECRET = b"MRN900017"
SECRETS = (SECRET, b"DOE^JANE", b"1970-01-02")


def field(width_px: int = 160, height_px: int = 120, seed: int = 1) -> Image.Image:
    """A smooth, noisy, asymmetric RGB picture, so that turns, flips and cuts all show."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height_px, 0:width_px]
    base = np.stack([x * 255 / width_px, y * 255 / height_px, (x + 2 * y) % 200], axis=-1)
    noisy = base * 0.7 + 30 + rng.normal(0, 12, base.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8), "RGB")


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


def exif(orientation: int = 1) -> Image.Exif:
    """EXIF with a description, an artist, a date, a serial number, GPS and the given orientation."""
    tags = Image.Exif()
    tags[0x010E], tags[0x013B] = "MRN900017", "DOE^JANE"
    tags[0x0132] = "1970-01-02 10:00:00"
    tags[0x0112] = orientation
    tags[0xA431] = "SN MRN900017"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def insert_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Put segments right after the start marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Put chunks right after IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def png_of(width_px: int, height_px: int, *, depth: int = 8, colour: int = 2, idat: bytes | None = None) -> bytes:
    """A PNG whose header says what it is told to, whatever the data are."""
    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour, 0, 0, 0)
    body = zlib.compress(bytes(1000)) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff_of(width_px: int, height_px: int) -> bytes:
    """A little-endian RGB TIFF header of the stated size with almost no data."""
    tags = [(256, 4, width_px), (257, 4, height_px), (258, 3, 8), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 3),
            (278, 4, height_px), (279, 4, 100)]  # fmt: skip
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags) + bytes(4)
    return b"II*\x00" + struct.pack("<I", 108) + bytes(100) + directory


def bmp_of(width_px: int, height_px: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width_px, height_px, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + header + bytes(100)


@functools.cache
def srgb_profile() -> bytes:
    """Made once: a created profile carries the second in which it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_with(profile: bytes, kind: bytes, body: bytes) -> bytes:
    """The profile with one more tag at the end of its table."""
    (count,) = struct.unpack_from(">I", profile, 128)
    table_end = 132 + 12 * count
    entries = b"".join(
        struct.pack(">4sII", tag, offset + 12, size)
        for tag, offset, size in (struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count))
    )
    rest = profile[table_end:]
    entries += struct.pack(">4sII", kind, table_end + 12 + len(rest), len(body))
    whole = profile[:128] + struct.pack(">I", count + 1) + entries + rest + body
    return struct.pack(">I", len(whole)) + whole[4:]


def text_png(image: Image.Image, **options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", "DOE^JANE MRN900017")
    info.add_text("Comment", "DOE^JANE " * 50, zip=True)
    info.add_itxt("Date", "1970-01-02 MRN900017")
    return saved(image, "PNG", pnginfo=info, **options)
