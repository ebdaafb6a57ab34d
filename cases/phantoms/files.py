"""Phantom fields as files: JPEG whose metadata says PHANTOM, and the defects that tests and the demo plant."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image, ImageEnhance, ImageFilter

from .fields import VERSION, PhantomField
from .scene import FIELD_UM
from .styles import STYLES

PHANTOM_NOTICE = "PHANTOM: synthetic blood smear field, drawn by a program. No patient. Research use only."

_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _ARTIST = 0x010E, 0x010F, 0x0110, 0x0131, 0x013B
_EXIF_IFD, _TAKEN, _USER_COMMENT, _OWNER = 0x8769, 0x9003, 0x9286, 0xA430
_ASCII_COMMENT = b"ASCII\x00\x00\x00"


def _exif(field: PhantomField, planted_identity: str | None) -> Image.Exif:
    exif = Image.Exif()
    exif[_DESCRIPTION] = PHANTOM_NOTICE
    exif[_MAKE] = "PHANTOM"
    exif[_MODEL] = f"PHANTOM, in the manner of {STYLES[field.style].device['camera']}"
    exif[_SOFTWARE] = f"leukoweb phantoms {VERSION}"
    details = exif.get_ifd(_EXIF_IFD)
    details[_USER_COMMENT] = _ASCII_COMMENT + PHANTOM_NOTICE.encode()
    if planted_identity is not None:
        exif[_DESCRIPTION] = f"PHANTOM Patient: {planted_identity}"
        exif[_ARTIST] = planted_identity
        details[_OWNER] = planted_identity
        details[_TAKEN] = "2021:03:14 09:26:53"
    return exif


def encode_jpeg(
    field: PhantomField, *, quality: int = 90, metadata: bool = True, planted_identity: str | None = None
) -> bytes:
    """Encode a field as JPEG.

    The JPEG comment says PHANTOM in every case; EXIF (camera, software, description) is written with `metadata`
    or when an identity is planted.

    Args:
        planted_identity: an invented name to hide in EXIF and the comment, so that tests can prove it is removed.

    Raises:
        ValueError: quality outside 1 to 95.
    """
    if not 1 <= quality <= 95:
        raise ValueError(f"quality is {quality}: it must lie between 1 and 95.")
    comment = f"{PHANTOM_NOTICE} seed={field.seed} style={field.style} version={VERSION}"
    if planted_identity is not None:
        comment += f" Patient: {planted_identity}"
    options: dict[str, object] = {"comment": comment.encode()}
    if metadata or planted_identity is not None:
        options["exif"] = _exif(field, planted_identity).tobytes()
    stream = io.BytesIO()
    field.image.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def blurred(field: PhantomField, *, blur_um: float = 0.9) -> PhantomField:
    """The same field badly out of focus: what a quality check should notice."""
    radius = blur_um * field.image.width / FIELD_UM[0]
    return replace(field, image=field.image.filter(ImageFilter.GaussianBlur(radius)))


def brightness_shifted(field: PhantomField, *, factor: float = 1.06) -> PhantomField:
    """The same field a little brighter or darker: a near duplicate with other bytes and other pixels."""
    return replace(field, image=ImageEnhance.Brightness(field.image).enhance(factor))


def reencoded(jpeg: bytes, *, quality: int = 70) -> bytes:
    """The same picture saved again as JPEG: a near duplicate. Keeps the comment, drops EXIF."""
    with Image.open(io.BytesIO(jpeg)) as image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality, comment=image.info.get("comment", PHANTOM_NOTICE.encode()))
    return stream.getvalue()
