"""What kind of file the first bytes say it is. The name is never believed: only the content decides."""

from __future__ import annotations

from typing import Final

ACCEPTED_TYPES: Final[tuple[str, ...]] = ("JPEG", "PNG", "BMP", "TIFF")

SNIFF_BYTES: Final = 4096
"""How much of the head `sniff` looks at."""

_PREFIXES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"8BPS", "Photoshop PSD"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"PK\x05\x06", "ZIP archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"SIMPLE  =", "FITS"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"ZISRAWFILE", "Zeiss CZI"),
    (b"\xda\xce\xbe\x0a", "Nikon ND2"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE container (for example Olympus OIB)"),
    (b"\x80\x02", "Python pickle"),
    (b"\x7fELF", "program"),
)
_BRANDS: Final[dict[bytes, str]] = {b"avif": "AVIF", b"avis": "AVIF", b"mif1": "HEIF", b"msf1": "HEIF"}
_BMP_HEADERS: Final[frozenset[int]] = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(data: bytes) -> str | None:
    """Name of the file type, for example ``"JPEG"`` or ``"DICOM"``; None where nothing known begins.

    Types outside `ACCEPTED_TYPES` are recognised only so that a refusal can name them.
    """
    head = data[:SNIFF_BYTES]
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return _BRANDS.get(brand, "HEIC" if brand[:2] == b"he" else "video or HEIF container")
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in (b" ", b"\n", b"\r", b"\t"):
        return "Netpbm"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1024].lower()
    if text.startswith(b"<") and b"<svg" in text:
        return "SVG"
    return None
