"""JPEG without metadata, segment by segment (ITU-T T.81 annex B, JFIF 1.02): no pixel is touched."""

from __future__ import annotations

import struct
from typing import Final

from cases.icc import rebuild_profile
from cases.stripped import ImageRefused, Stripped, corrupt, exif_orientation, truncated

_SOI, _EOI, _SOS, _COM, _TEM = 0xD8, 0xD9, 0xDA, 0xFE, 0x01
_FRAMES_KEPT: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_FRAMES_REFUSED: Final = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xDE), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF), "arithmetic-coded"),
    0xF7: "JPEG-LS",
}
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})  # Huffman, quantisation, restart interval
_SCANS_MAX: Final = 100
"""A progressive file has about ten; thousands of tiny scans can keep a decoder busy for hours."""
_SEGMENTS_MAX: Final = 10_000
_ICC_TAG: Final = b"ICC_PROFILE\x00"


class _JpegWalk:
    """One pass over a JPEG file; `header` collects the kept APPn segments, `body` the rest."""

    def __init__(self, data: bytes, metadata_limit_bytes: int) -> None:
        self.data = data
        self.at = 2
        self.scans = 0
        self.segments = 0
        self.header = bytearray(data[:2])
        self.body = bytearray()
        self.profile_parts: dict[int, bytes] = {}
        self.result = Stripped(metadata_limit_bytes=metadata_limit_bytes)

    def run(self) -> Stripped:
        while (marker := self._next_marker()) != _EOI:
            segment = self._segment()
            self._take(marker, segment)
            if marker == _SOS:
                self._copy_scan()
        if not self.scans:
            raise truncated("no image data between the headers and the end marker")
        self.body += bytes((0xFF, _EOI))
        self._write_profile()
        self.result.trailing_bytes = len(self.data) - self.at
        self.result.content = bytes(self.header + self.body)
        return self.result

    def _next_marker(self) -> int:
        """Skip fill bytes and stray bytes, as decoders do; return the next marker."""
        while True:
            start = self.data.find(b"\xff", self.at)
            end = start
            while end != -1 and end < len(self.data) and self.data[end] == 0xFF:
                end += 1
            if start == -1 or end >= len(self.data):
                raise truncated("the end marker of the JPEG is missing")
            if start > self.at:
                self.result.drop("stray bytes", start - self.at)
            self.at = end + 1
            marker = self.data[end]
            if marker in (0x00, _SOI):
                raise corrupt(f"unexpected JPEG marker FF{marker:02X} at byte {end}")
            if marker != _TEM and not 0xD0 <= marker <= 0xD7:
                return marker
            self.result.drop("stray bytes", 2)

    def _segment(self) -> bytes:
        self.segments += 1
        if self.segments > _SEGMENTS_MAX:
            raise corrupt(f"more than {_SEGMENTS_MAX:,} JPEG segments")
        if self.at + 2 > len(self.data):
            raise truncated("a JPEG segment is cut")
        (length,) = struct.unpack_from(">H", self.data, self.at)
        if length < 2:
            raise corrupt(f"a JPEG segment of length {length} at byte {self.at}")
        if self.at + length > len(self.data):
            raise truncated("a JPEG segment is cut")
        segment = self.data[self.at + 2 : self.at + length]
        self.at += length
        return segment

    def _take(self, marker: int, segment: bytes) -> None:
        if marker in _FRAMES_REFUSED:
            raise ImageRefused(
                f"The JPEG is {_FRAMES_REFUSED[marker]}; browsers show baseline and progressive JPEG only.",
                code="E_TYPE_NOT_ALLOWED",
                hint="Export the image as PNG or as a standard JPEG.",
            )
        if marker in _FRAMES_KEPT:
            self._take_frame(segment)
        elif marker == _SOS:
            self.scans += 1
            if not self.result.channels:
                raise corrupt("JPEG image data before the frame header")
            if self.scans > _SCANS_MAX:
                raise corrupt(f"more than {_SCANS_MAX} JPEG scans")
        elif marker == _COM or 0xE0 <= marker <= 0xEF:
            self._take_application(marker, segment)
            return
        elif marker not in _TABLES:
            raise corrupt(f"unknown JPEG marker FF{marker:02X}")
        self.body += _segment_bytes(marker, segment)

    def _take_frame(self, segment: bytes) -> None:
        if self.result.channels or len(segment) < 6:
            raise corrupt("more than one JPEG frame header, or a short one")
        depth, height_px, width_px, channels = struct.unpack_from(">BHHB", segment)
        if not height_px or not width_px or not channels:
            raise corrupt(f"the JPEG header says {width_px} x {height_px} px with {channels} channels")
        self.result.bit_depth, self.result.channels = depth, channels
        self.result.width_px, self.result.height_px = width_px, height_px

    def _take_application(self, marker: int, segment: bytes) -> None:
        if marker == 0xE0 and segment[:5] == b"JFIF\x00" and len(segment) >= 14:
            if len(segment) > 14:
                self.result.drop("JFIF preview", len(segment) - 14)
            self.header += _segment_bytes(marker, segment[:12] + b"\x00\x00")
        elif marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            # Decides whether the pixels are RGB or YCbCr: without it colours change.
            self.header += _segment_bytes(marker, segment[:12])
        elif marker == 0xE2 and segment[:12] == _ICC_TAG and len(segment) > 14:
            self.profile_parts[segment[12]] = segment[14:]
        else:
            if marker == 0xE1 and segment[:6] == b"Exif\x00\x00":
                self.result.orientation = exif_orientation(segment[6:])
            self.result.drop(_application_name(marker, segment), len(segment) + 4)

    def _write_profile(self) -> None:
        if not self.profile_parts:
            return
        original = b"".join(self.profile_parts[number] for number in sorted(self.profile_parts))
        profile = rebuild_profile(original) if self.result.channels == 3 else None
        if profile is None:
            self.result.drop("colour profile (not a plain RGB profile)", len(original))
            return
        if profile != original:
            self.result.drop("colour profile texts", max(0, len(original) - len(profile)))
        parts = [profile[at : at + 65_000] for at in range(0, len(profile), 65_000)]
        for number, part in enumerate(parts, start=1):
            self.header += _segment_bytes(0xE2, _ICC_TAG + bytes((number, len(parts))) + part)

    def _copy_scan(self) -> None:
        """Entropy-coded data up to the next real marker: FF00 is data, FFD0 to FFD7 restart, FFFF fill."""
        end = self.at
        while True:
            end = self.data.find(b"\xff", end)
            if end == -1 or end + 1 >= len(self.data):
                raise truncated("the end marker of the JPEG is missing")
            following = self.data[end + 1]
            if following == 0x00 or 0xD0 <= following <= 0xD7:
                end += 2
            elif following == 0xFF:
                end += 1
            else:
                break
        self.body += self.data[self.at : end]
        self.at = end


def _segment_bytes(marker: int, segment: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(segment) + 2) + segment


def _application_name(marker: int, segment: bytes) -> str:
    if marker == _COM:
        return "comment"
    for start, name in (
        (b"Exif\x00", "EXIF"),
        (b"http://ns.adobe.com/", "XMP"),
        (b"Photoshop 3.0", "IPTC"),
        (b"JFXX", "JFIF preview"),
        (b"MPF\x00", "multi-picture index"),
    ):
        if segment.startswith(start):
            return name
    return f"APP{marker - 0xE0} data"


def strip_jpeg(data: bytes, *, metadata_limit_bytes: int) -> Stripped:
    """A JPEG without metadata; entropy-coded data, tables and frame header are copied byte for byte.

    Of a multi-picture file the first picture is kept; the others count as trailing bytes.

    Raises
    ------
    ImageRefused
        ``E_TRUNCATED``, ``E_CORRUPT``, ``E_METADATA_TOO_LARGE`` or, for a coding that browsers do not show,
        ``E_TYPE_NOT_ALLOWED``.
    """
    return _JpegWalk(data, metadata_limit_bytes).run()
