"""Which image files are taken in, and what is stored of them.

Accepted: JPEG, PNG, BMP and single-page TIFF. A JPEG or PNG that is 8-bit RGB keeps its pixels bit for bit and
loses its metadata (`cases.cleaning`); every other accepted file (TIFF, BMP, rotated by EXIF, grey, 16-bit, palette,
opaque alpha) becomes one lossless RGB PNG, which people and models both see. Each change leaves a `Note`.

The order of the checks is the point: name, length, first bytes, size in pixels from the header, and only then a
decoder, which is given the already stripped bytes of JPEG and PNG.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps

from cases.cleaning import ImageRefused, Stripped, require_clean, strip_jpeg, strip_png
from cases.decoding import decode, load_checked, to_rgb
from cases.hashing import hash_distance, near_duplicates, perceptual_hash
from cases.icc import rebuild_profile
from cases.limits import DEFAULT_LIMITS, Limits, Note, require_size
from cases.naming import NameRefused, base_name, extension, identity_hint, printable
from cases.sniffing import ACCEPTED_TYPES, sniff

__all__ = [
    "DEFAULT_LIMITS",
    "AcceptedImage",
    "ImageRefused",
    "ImageTooLarge",
    "Limits",
    "Note",
    "accept_image",
    "decode",
    "hash_distance",
    "near_duplicates",
    "perceptual_hash",
    "thumbnail",
]

_EXTENSIONS: Final = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "PNG": ("png",),
    "BMP": ("bmp", "dib"),
    "TIFF": ("tif", "tiff"),
}
_WHOLE_SLIDE_EXTENSIONS: Final = (
    "svs",
    "ndpi",
    "scn",
    "bif",
    "vsi",
    "mrxs",
    "czi",
    "vms",
    "vmu",
    "svslide",
    "isyntax",
)
_EXPORT_HINT: Final = "Export the field from the microscope software as PNG or JPEG."
_PNG_COMPRESSION: Final = 4
"""A third of the time of Pillow's default on smear fields, for files 1 to 5 % larger."""
_ROTATIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageTooLarge(ImageRefused):
    code = "E_TOO_LARGE"
    status = 413


@dataclass(frozen=True)
class AcceptedImage:
    """An image ready to be stored.

    Attributes
    ----------
    content
        The file to store: free of metadata, 8-bit RGB, upright.
    format
        Format of `content`.
    received_format
        Format of the file as it came: JPEG, PNG, BMP or TIFF.
    received_sha256, content_sha256
        Hex digests of the file as it came (manifest, resume) and of `content` (storage, predictions).
    phash
        Perceptual hash of the stored pixels (`perceptual_hash`).
    notes
        What was changed (``N_...``) and what a person should look at (``W_...``).
    """

    content: bytes
    format: Literal["JPEG", "PNG"]
    width_px: int
    height_px: int
    received_format: str
    received_sha256: str
    content_sha256: str
    phash: int
    notes: tuple[Note, ...]


def accept_image(data: bytes, name: str, *, limits: Limits = DEFAULT_LIMITS) -> AcceptedImage:
    """Check a file and make what is to be stored of it.

    Parameters
    ----------
    data
        The whole file.
    name
        Its name, with or without folders. It decides nothing: an extension that contradicts the content is only
        noted (``W_EXT_MISMATCH``), because cameras and download tools do mislabel files and the stored file gets
        a name of its own; refusing would cost the user a rename and protect nobody.
    limits
        Limits on bytes, pixels, shape and metadata.

    Raises
    ------
    ImageRefused
        Its `code` is one of E_NAME, E_EMPTY, E_TOO_LARGE, E_NOT_IMAGE, E_TYPE_NOT_ALLOWED, E_WSI_UNSUPPORTED,
        E_TRUNCATED, E_CORRUPT, E_PIXELS, E_TOO_SMALL, E_ASPECT, E_METADATA_TOO_LARGE, E_MODE, E_BITDEPTH,
        E_ALPHA, E_FRAMES, E_CLEANING.

    Notes
    -----
    Peak memory is about twice the decoded RGB image; a file whose header states too many pixels is never decoded.
    """
    try:
        base = base_name(name)
    except NameRefused as error:
        words = {"code": error.code, "hint": error.hint, "nameless": error.nameless}
        raise ImageRefused(error.message, field="name", **words) from error
    found = _require_type(data, base, limits)
    notes = _name_notes(base, found)
    stripped = _strip(data, found, limits)
    if stripped is None:
        image, bits, orientation = load_checked(data, found, limits)
    else:
        _require_samples(stripped)
        notes += _stripped_notes(stripped)
        image, bits, _ = load_checked(stripped.content, found, limits)
        orientation, bits = stripped.orientation, stripped.bit_depth
    profile = image.info.get("icc_profile")
    rgb, changes = to_rgb(image, bits)
    del image  # of 40 Mpx every copy counts
    if orientation != 1:
        changes.append(Note("N_ROTATED", f"Turned upright as its orientation tag ({orientation}) says."))
        rgb = rgb if stripped is None else rgb.transpose(_ROTATIONS[orientation])
    if stripped is None:
        changes.append(Note("N_CONVERTED", f"Stored as lossless PNG instead of {found}, without its metadata."))
    if changes:
        content, stored_format = _encode_png(rgb, profile, limits), "PNG"
    else:
        content, stored_format = stripped.content if stripped else b"", found
    require_clean(content)
    return AcceptedImage(
        content=content,
        format="JPEG" if stored_format == "JPEG" else "PNG",
        width_px=rgb.width,
        height_px=rgb.height,
        received_format=found,
        received_sha256=hashlib.sha256(data).hexdigest(),
        content_sha256=hashlib.sha256(content).hexdigest(),
        phash=perceptual_hash(rgb),  # here, because decoding once more would cost more than all the rest
        notes=(*notes, *changes, *_content_notes(rgb)),
    )


def _require_type(data: bytes, base: str, limits: Limits) -> str:
    if not data:
        raise ImageRefused("The file is empty (0 bytes).", code="E_EMPTY", hint="Copy it again and upload it again.")
    found = sniff(data)
    if extension(base) in _WHOLE_SLIDE_EXTENSIONS and found not in ("JPEG", "PNG", "BMP"):
        raise ImageRefused(
            f"'{printable(base)}' is a whole-slide file; only single HPF images are read.",
            code="E_WSI_UNSUPPORTED",
            hint=_EXPORT_HINT,
            nameless="The file is a whole-slide file; only single HPF images are read.",
        )
    if len(data) > limits.file_bytes:
        raise ImageTooLarge(
            f"The file has {len(data) / 1e6:.1f} MB; the limit is {limits.file_bytes / 1e6:g} MB.",
            hint="Export the field as JPEG or PNG.",
        )
    if found is None:
        raise ImageRefused(
            "The content is not a JPEG, PNG, BMP or TIFF image.",
            code="E_NOT_IMAGE",
            hint="Open it on your computer; if it does not open there either, copy it from the camera again.",
        )
    if found not in ACCEPTED_TYPES:
        raise ImageRefused(
            f"The content is {found}; accepted are {', '.join(ACCEPTED_TYPES)}.",
            code="E_TYPE_NOT_ALLOWED",
            hint="Upload a zip archive on the import page." if found == "ZIP archive" else _EXPORT_HINT,
        )
    return found


def _name_notes(base: str, found: str) -> list[Note]:
    notes = []
    ending = extension(base)
    if ending and ending not in _EXTENSIONS[found]:
        notes.append(Note("W_EXT_MISMATCH", f"The name's extension is not that of its content, which is {found}."))
    hint = identity_hint(base)
    if hint:
        notes.append(Note("W_NAME_LOOKS_LIKE_ID", f"The file name looks as if it held {hint}; readers never see it."))
    return notes


def _strip(data: bytes, found: str, limits: Limits) -> Stripped | None:
    """The cleaned JPEG or PNG with its size checked; None for the other types, which are always converted."""
    if found == "JPEG":
        stripped = strip_jpeg(data, metadata_limit_bytes=limits.metadata_bytes)
    elif found == "PNG":
        if data[12:16] == b"IHDR" and len(data) >= 24:
            width_px, height_px = struct.unpack_from(">II", data, 16)
            require_size(width_px, height_px, limits)
        stripped = strip_png(data, metadata_limit_bytes=limits.metadata_bytes)
    else:
        return None
    require_size(stripped.width_px, stripped.height_px, limits)
    return stripped


def _require_samples(stripped: Stripped) -> None:
    """JPEG only in effect: PNG has no CMYK and no 12-bit samples."""
    if stripped.bit_depth > 8 and stripped.bit_depth != 16:
        raise ImageRefused(
            f"The image has {stripped.bit_depth} bits per sample; 8 or 16 are read.",
            code="E_BITDEPTH",
            hint="Export the field with 8 bits per colour.",
        )
    if stripped.content[:2] == b"\xff\xd8" and stripped.channels not in (1, 3):
        raise ImageRefused(
            f"The JPEG has {stripped.channels} channels (CMYK or similar); RGB is needed.",
            code="E_MODE",
            hint="Export the field as RGB.",
        )


def _stripped_notes(stripped: Stripped) -> list[Note]:
    notes = []
    if stripped.removed:
        text = f"Removed without touching a pixel: {', '.join(stripped.removed)}."
        notes.append(Note("N_METADATA_REMOVED", text))
    if stripped.trailing_bytes:
        text = f"{stripped.trailing_bytes:,} bytes after the end of the image were cut off."
        notes.append(Note("W_TRAILING_BYTES", text))
    return notes


def _content_notes(rgb: Image.Image) -> list[Note]:
    if _is_one_colour(rgb):
        return [Note("W_BLANK", "Every pixel has the same colour; is this a smear?")]
    strip_px = max(16, rgb.height // 20)
    if _is_one_colour(rgb.crop((0, rgb.height - strip_px, rgb.width, rgb.height))):
        # What a decoder makes of a JPEG whose data stop in the middle although its end marker is there.
        return [Note("W_FLAT_BOTTOM", f"The lowest {strip_px} rows are one colour; the file may have been cut.")]
    return []


def _is_one_colour(rgb: Image.Image) -> bool:
    extrema = np.asarray(rgb.getextrema())  # (3 channels, lowest and highest)
    return bool((extrema[:, 0] == extrema[:, 1]).all())


def _encode_png(rgb: Image.Image, profile: bytes | None, limits: Limits) -> bytes:
    rgb.info = {}
    buffer = io.BytesIO()
    kept_profile = rebuild_profile(profile) if profile else None
    rgb.save(buffer, "PNG", icc_profile=kept_profile, compress_level=_PNG_COMPRESSION)
    raw = buffer.getvalue()
    return strip_png(raw, metadata_limit_bytes=limits.metadata_bytes, keep_palette_alpha=False).content


def thumbnail(content: bytes, size_px: int = 320) -> bytes:
    """A WebP copy of a stored image whose longer side has at most `size_px` pixels; never enlarged."""
    with Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as image:
        profile = image.info.get("icc_profile")
        image.draft("RGB", (size_px, size_px))
        small = ImageOps.contain(image, (size_px, size_px)) if max(image.size) > size_px else image.copy()
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "WEBP", quality=80, method=2, icc_profile=profile)
    return buffer.getvalue()
