"""PNG without metadata, chunk by chunk (W3C PNG, third edition): the image data is copied byte for byte."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from cases.icc import PROFILE_BYTES_MAX, rebuild_profile
from cases.stripped import ImageRefused, Stripped, corrupt, exif_orientation, too_much_metadata, truncated

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_CHUNKS_MAX: Final = 100_000
# Exact lengths, so that there is no room for anything else.
_PNG_COLOUR: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}
_PNG_NAMES: Final = {
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"eXIf": "EXIF",
    b"tIME": "time",
    b"PLTE": "unused palette",
    b"tRNS": "unused transparency",
}


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def read_chunks(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """The chunks (type, body) up to IEND with their checksums verified, and where IEND ends."""
    chunks: list[tuple[bytes, bytes]] = []
    at = len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise truncated("the end chunk of the PNG is missing")
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha() or not kind.isascii() or length > 0x7FFFFFFF:
            raise corrupt(f"no PNG chunk begins at byte {at}")
        if at + 12 + length > len(data):
            raise truncated(f"the PNG chunk {kind.decode('ascii')} is cut")
        body = data[at + 8 : at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise corrupt(f"wrong checksum in the PNG chunk {kind.decode('ascii')}")
        at += 12 + length
        chunks.append((kind, body))
        if len(chunks) > _CHUNKS_MAX:
            raise corrupt(f"more than {_CHUNKS_MAX:,} PNG chunks")
        if kind == b"IEND":
            return chunks, at


def _inflate(packed: bytes, limit_bytes: int) -> bytes:
    """At most `limit_bytes` + 1 unpacked bytes, so that a bomb costs no memory; empty if unreadable."""
    try:
        return zlib.decompressobj().decompress(packed, limit_bytes + 1)
    except zlib.error:
        return b""


def _packed_text(kind: bytes, body: bytes) -> bytes:
    """The compressed part of a text chunk; empty where the text is not compressed."""
    rest = body.partition(b"\x00")[2]
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] == b"\x01":
        return rest[2:].split(b"\x00", 2)[-1]
    return b""


def strip_png(data: bytes, *, metadata_limit_bytes: int, keep_palette_alpha: bool = True) -> Stripped:
    """A PNG with its critical chunks, gamma, primaries, sRGB, resolution and rebuilt profile only.

    `keep_palette_alpha` keeps tRNS and PLTE as well, which are needed to decode; False for the file to store,
    where no transparency is left.

    Raises
    ------
    ImageRefused
        ``E_TRUNCATED``, ``E_CORRUPT``, ``E_FRAMES`` (animated) or ``E_METADATA_TOO_LARGE`` (also for
        compressed text that would unpack beyond the limit).
    """
    chunks, end = read_chunks(data)
    result = Stripped(trailing_bytes=len(data) - end, metadata_limit_bytes=metadata_limit_bytes)
    header = chunks[0][1]
    if chunks[0][0] != b"IHDR" or len(header) != 13 or not any(kind == b"IDAT" for kind, _ in chunks):
        raise corrupt("the PNG has no header or no image data")
    result.width_px, result.height_px, result.bit_depth, colour_type = struct.unpack_from(">IIBB", header)
    result.channels = _PNG_CHANNELS.get(colour_type, 0)
    if not (result.width_px and result.height_px and result.channels):
        size = f"{result.width_px} x {result.height_px} px"
        raise corrupt(f"the PNG header says {size}, colour type {colour_type}")
    always = (b"IHDR", b"IDAT", b"IEND") + ((b"PLTE", b"tRNS") if keep_palette_alpha else ())
    out = bytearray(PNG_SIGNATURE)
    for kind, body in chunks:
        if kind in always or _PNG_COLOUR.get(kind) == len(body):
            out += _chunk(kind, body)
        elif kind == b"iCCP":
            out += _take_png_profile(body, result, is_rgb=colour_type in (2, 3, 6))
        else:
            _drop_chunk(kind, body, result)
    result.content = bytes(out)
    return result


def _take_png_profile(body: bytes, result: Stripped, *, is_rgb: bool) -> bytes:
    original = _inflate(body.partition(b"\x00")[2][1:], PROFILE_BYTES_MAX)
    profile = rebuild_profile(original) if is_rgb else None
    if profile is None:
        result.drop("colour profile (not a plain RGB profile)", len(body))
        return b""
    kept = b"icc\x00\x00" + zlib.compress(profile, 9)
    if kept != body:
        result.drop("colour profile texts", max(0, len(body) - len(kept)))
    return _chunk(b"iCCP", kept)


def _drop_chunk(kind: bytes, body: bytes, result: Stripped) -> None:
    if kind == b"acTL" and len(body) >= 4 and struct.unpack_from(">I", body)[0] > 1:
        frames = struct.unpack_from(">I", body)[0]
        raise ImageRefused(
            f"The PNG is animated ({frames:,} frames); one image per file is accepted.",
            code="E_FRAMES",
            hint="Export the single fields and upload them one by one.",
        )
    if kind[:1].isupper() and kind != b"PLTE":
        raise corrupt(f"unknown critical PNG chunk {kind.decode('ascii')}")
    unpacked = _inflate(_packed_text(kind, body), result.metadata_limit_bytes)
    if len(unpacked) > result.metadata_limit_bytes:
        raise too_much_metadata(len(unpacked), result.metadata_limit_bytes)
    if kind == b"eXIf":
        result.orientation = exif_orientation(body)
    result.drop(_PNG_NAMES.get(kind, f"{kind.decode('ascii')} chunk"), len(body) + 12)
