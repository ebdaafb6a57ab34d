"""Colour profiles without words: an ICC profile rebuilt from its colour numbers alone.

Why rebuild: a profile is needed so that browsers show the colours that the camera meant, but it also
carries free text (description, copyright, device names, private tags) and a date, all of which can hold an
identity. Only the tags of a matrix/curve RGB profile are copied, each cut to the length its type has; the
text is replaced by fixed words. Other profiles (tables, grey, CMYK) are not kept, and the image's notes say
so.

Source: ICC.1:2010 (profile format), sections 7.2, 7.3, 10.
"""

from __future__ import annotations

import struct
from typing import Final

PROFILE_BYTES_MAX: Final = 1_000_000
_HEADER_BYTES: Final = 128
_XYZ: Final = (b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt")
_CURVES: Final = (b"rTRC", b"gTRC", b"bTRC")
_DEVICE_CLASSES: Final = (b"mntr", b"scnr", b"prtr", b"spac")
_D50: Final = bytes.fromhex("0000f6d6000100000000d32d")
_PARA_PARAMETERS: Final = (1, 3, 4, 5, 7)
_DESCRIPTION: Final = "Embedded RGB profile"
_DATE: Final = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


class _NotKept(Exception):
    """The profile is broken or of a kind that is not kept."""


def rebuild_profile(profile: bytes) -> bytes | None:
    """The same colours without text, date and device names.

    Parameters
    ----------
    profile
        The bytes of an ICC profile as embedded in a file.

    Returns
    -------
    bytes or None
        A profile for which ``rebuild_profile(result) == result``; None where the profile is broken or not a
        matrix/curve RGB profile.
    """
    try:
        return _rebuild(profile)
    except (_NotKept, struct.error, IndexError):
        return None


def _rebuild(profile: bytes) -> bytes:
    if not _HEADER_BYTES + 4 <= len(profile) <= PROFILE_BYTES_MAX:
        raise _NotKept
    if profile[36:40] != b"acsp" or profile[16:20] != b"RGB " or profile[20:24] != b"XYZ ":
        raise _NotKept
    if profile[8] not in (2, 4) or profile[12:16] not in _DEVICE_CLASSES:
        raise _NotKept
    tags = _read_tags(profile)
    kept: dict[bytes, bytes] = {tag: _cut_xyz(tags[tag]) for tag in _XYZ if tag in tags}
    kept |= {tag: _cut_curve(tags[tag]) for tag in _CURVES if tag in tags}
    if len(kept) != len(_XYZ) + len(_CURVES):
        raise _NotKept
    if b"chad" in tags:
        kept[b"chad"] = _cut_fixed(tags[b"chad"], b"sf32", 8 + 36)
    is_v2 = profile[8] == 2
    kept[b"desc"] = _description_v2() if is_v2 else _text_v4(_DESCRIPTION)
    kept[b"cprt"] = b"text\x00\x00\x00\x00none\x00" if is_v2 else _text_v4("none")
    return _assemble(_clean_header(profile), kept)


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    if count > 100:
        raise _NotKept
    tags: dict[bytes, bytes] = {}
    for number in range(count):
        tag, offset, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * number)
        if tag in tags or offset + size > len(profile):
            raise _NotKept
        tags[tag] = profile[offset : offset + size]
    return tags


def _cut_fixed(element: bytes, kind: bytes, length: int) -> bytes:
    if element[:4] != kind or len(element) < length:
        raise _NotKept
    return kind + bytes(4) + element[8:length]


def _cut_xyz(element: bytes) -> bytes:
    return _cut_fixed(element, b"XYZ ", 20)


def _cut_curve(element: bytes) -> bytes:
    kind = element[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", element, 8)
        return _cut_fixed(element, kind, 12 + 2 * count)
    if kind == b"para":
        (function,) = struct.unpack_from(">H", element, 8)
        cut = _cut_fixed(element, kind, 12 + 4 * _PARA_PARAMETERS[function])
        return cut[:10] + bytes(2) + cut[12:]
    raise _NotKept


def _description_v2() -> bytes:
    words = _DESCRIPTION.encode("ascii") + b"\x00"
    return b"desc" + bytes(4) + struct.pack(">I", len(words)) + words + bytes(4 + 4 + 2 + 1 + 67)


def _text_v4(words: str) -> bytes:
    text = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text


def _clean_header(profile: bytes) -> bytes:
    header = bytearray(_HEADER_BYTES)
    header[8:10] = profile[8:10]  # version
    header[12:24] = profile[12:24]  # device class and both colour spaces, checked above
    header[24:36] = _DATE
    header[36:40] = b"acsp"
    header[67] = profile[67] & 3  # rendering intent
    header[68:80] = _D50
    return bytes(header)


def _assemble(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    table = struct.pack(">I", len(tags))
    offset = _HEADER_BYTES + 4 + 12 * len(tags)
    body = b""
    for tag in sorted(tags):
        element = tags[tag]
        table += struct.pack(">4sII", tag, offset + len(body), len(element))
        body += element + bytes(-len(element) % 4)
    profile = header + table + body
    return struct.pack(">I", len(profile)) + profile[4:]
