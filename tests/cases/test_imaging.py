"""Which files are accepted, as what, and with which notes."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from cases.imaging import AcceptedImage, accept_image, decode, perceptual_hash
from tests.cases.bad_images import pages
from tests.cases.image_files import SECRET, SECRETS, exif, field, pixels, png_of, saved, srgb_profile, text_png


def codes(accepted: AcceptedImage) -> list[str]:
    return [note.code for note in accepted.notes]


# --- Accepted as they are ---


def test_a_clean_rgb_jpeg_and_png_are_stored_as_they_came() -> None:
    for format_name in ("JPEG", "PNG"):
        data = saved(field(), format_name)
        accepted = accept_image(data, f"field.{format_name.lower()}")
        assert accepted.content == data
        assert (accepted.format, accepted.received_format) == (format_name, format_name)
        assert (accepted.width_px, accepted.height_px, accepted.notes) == (160, 120, ())
        assert accepted.received_sha256 == accepted.content_sha256 == hashlib.sha256(data).hexdigest()
        assert accepted.phash == perceptual_hash(decode(data))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_metadata_goes_and_both_hashes_are_given(format_name: str) -> None:
    dirty = saved(field(), "JPEG", exif=exif(), comment=b"DOE^JANE") if format_name == "JPEG" else text_png(field())
    dirty += b"<?php system('MRN900017'); ?>"
    accepted = accept_image(dirty, "x." + format_name.lower())
    assert codes(accepted) == ["N_METADATA_REMOVED", "W_TRAILING_BYTES"]
    assert "29 bytes" in accepted.notes[1].message
    assert not [secret for secret in SECRETS if secret in accepted.content]
    assert not [s for s in SECRETS for note in accepted.notes if s.decode() in note.message]
    assert accepted.received_sha256 == hashlib.sha256(dirty).hexdigest()
    assert accepted.content_sha256 == hashlib.sha256(accepted.content).hexdigest() != accepted.received_sha256
    assert pixels(accepted.content) == pixels(dirty)


def test_the_secret_of_these_tests_is_really_in_the_dirty_files() -> None:
    assert SECRET in saved(field(), "JPEG", exif=exif())
    assert SECRET in text_png(field())


def test_what_is_stored_is_accepted_again_unchanged() -> None:
    for data in (saved(field(), "JPEG", exif=exif(6)), text_png(field(), icc_profile=srgb_profile()), pages(1)):
        first = accept_image(data, "a.jpg")
        again = accept_image(first.content, "a." + first.format.lower())
        assert again.content == first.content
        assert again.notes == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", ["W_EXT_MISMATCH"]), ("a.JPG", []), ("a.jpeg", []), ("noextension", []), ("a.php.jpg", []),
     ("a.dcm", ["W_EXT_MISMATCH"]), ("DOE_JOHN_1970-01-02_MRN123.jpg", ["W_NAME_LOOKS_LIKE_ID"]),
     ("../../etc/passwd", []), ("C:\\x\\a.jpg", []), ("<img src=x>.jpg", [])],
)  # fmt: skip
def test_a_name_never_decides(name: str, expected: list[str]) -> None:
    accepted = accept_image(saved(field(), "JPEG"), name)
    assert codes(accepted) == expected
    assert all(note.needs_attention for note in accepted.notes)


def test_multi_picture_jpeg_keeps_its_first_picture() -> None:
    data = saved(field(), "MPO", save_all=True, append_images=[field(seed=2)])
    accepted = accept_image(data, "a.jpg")
    assert codes(accepted) == ["N_METADATA_REMOVED", "W_TRAILING_BYTES"]
    assert pixels(accepted.content) == pixels(saved(field(), "JPEG"))


# --- Accepted after a change ---


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF"])
def test_a_rotated_image_is_stored_upright(format_name: str, orientation: int) -> None:
    data = saved(field(), format_name, exif=exif(orientation))
    accepted = accept_image(data, "a")
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert accepted.format == "PNG"
    assert pixels(accepted.content) == expected.tobytes()
    assert (accepted.width_px, accepted.height_px) == expected.size
    assert "N_ROTATED" in codes(accepted)
    assert accepted.phash == perceptual_hash(decode(accepted.content))
    assert accept_image(accepted.content, "a").notes == ()


def _grey16() -> Image.Image:
    grey = np.asarray(field().convert("L"), dtype=np.uint16)
    return Image.fromarray(grey * 256 + 77)


def png16_rgb() -> bytes:
    """16-bit RGB made by hand, since Pillow writes none: big-endian samples, filter 0."""
    low = np.asarray(field(), dtype=np.uint16)
    rows = (low * 256 + 99).astype(">u2").reshape(120, -1)
    return png_of(160, 120, depth=16, idat=zlib.compress(b"".join(b"\x00" + row.tobytes() for row in rows)))


CHANGED: dict[str, tuple[bytes, list[str], bytes]] = {
    "grey JPEG": (
        saved(field().convert("L"), "JPEG"),
        ["N_GREY"],
        pixels(saved(field().convert("L"), "JPEG")),
    ),
    "grey PNG": (saved(field().convert("L"), "PNG"), ["N_GREY"], field().convert("L").convert("RGB").tobytes()),
    "16-bit grey PNG": (saved(_grey16(), "PNG"), ["N_GREY", "N_16BIT"], field().convert("L").convert("RGB").tobytes()),
    "16-bit grey TIFF": (
        saved(_grey16(), "TIFF"),
        ["N_GREY", "N_16BIT", "N_CONVERTED"],
        field().convert("L").convert("RGB").tobytes(),
    ),
    "16-bit RGB PNG": (png16_rgb(), ["N_16BIT"], field().tobytes()),
    "opaque RGBA PNG": (saved(field().convert("RGBA"), "PNG"), ["N_ALPHA_DROPPED"], field().tobytes()),
    "opaque LA PNG": (
        saved(field().convert("LA"), "PNG"),
        ["N_ALPHA_DROPPED", "N_GREY"],
        field().convert("L").convert("RGB").tobytes(),
    ),
    "unused transparent colour": (
        saved(field(), "PNG", transparency=(255, 0, 255)),
        ["N_ALPHA_DROPPED"],
        field().tobytes(),
    ),
    "palette PNG": (saved(field().quantize(64), "PNG"), ["N_PALETTE"], field().quantize(64).convert("RGB").tobytes()),
    "palette BMP": (
        saved(field().quantize(64), "BMP"),
        ["N_PALETTE", "N_CONVERTED"],
        field().quantize(64).convert("RGB").tobytes(),
    ),
    "BMP": (saved(field(), "BMP"), ["N_CONVERTED"], field().tobytes()),
    "TIFF": (saved(field(), "TIFF"), ["N_CONVERTED"], field().tobytes()),
    "LZW TIFF": (saved(field(), "TIFF", compression="tiff_lzw"), ["N_CONVERTED"], field().tobytes()),
    "deflate TIFF": (saved(field(), "TIFF", compression="tiff_adobe_deflate"), ["N_CONVERTED"], field().tobytes()),
    "RGBA TIFF": (
        saved(field().convert("RGBA"), "TIFF"),
        ["N_ALPHA_DROPPED", "N_CONVERTED"],
        field().tobytes(),
    ),
}


@pytest.mark.parametrize("what", list(CHANGED))
def test_other_modes_become_lossless_rgb_png_with_a_note(what: str) -> None:
    data, expected_codes, expected_pixels = CHANGED[what]
    accepted = accept_image(data, "a")
    assert [code for code in codes(accepted) if code != "N_METADATA_REMOVED"] == expected_codes
    assert accepted.format == "PNG"
    assert pixels(accepted.content) == expected_pixels
    assert accepted.phash == perceptual_hash(decode(accepted.content))
    assert not any(note.needs_attention for note in accepted.notes)


def test_tiff_tags_do_not_reach_the_stored_png() -> None:
    data = saved(field(), "TIFF", tiffinfo={270: "MRN900017", 306: "1970-01-02", 315: "DOE^JANE"}, dpi=(300, 300))
    accepted = accept_image(data, "a.tif")
    assert not [secret for secret in SECRETS if secret in accepted.content]
    with Image.open(io.BytesIO(accepted.content)) as image:
        assert image.info == {}


def test_a_converted_file_keeps_its_profile_without_the_texts() -> None:
    accepted = accept_image(saved(field(), "TIFF", icc_profile=srgb_profile()), "a.tif")
    with Image.open(io.BytesIO(accepted.content)) as image:
        assert image.info["icc_profile"]
    assert b"sRGB built-in" not in zlib.decompress(_profile_body(accepted.content))


def _profile_body(png: bytes) -> bytes:
    at = png.index(b"iCCP")
    (length,) = struct.unpack_from(">I", png, at - 4)
    return png[at + 4 + 5 : at + 4 + length]


def test_the_same_file_gives_the_same_content_hash_each_time() -> None:
    data = saved(field(), "TIFF")
    assert accept_image(data, "a.tif").content_sha256 == accept_image(data, "b.tif").content_sha256


# --- What a person should look at ---


@pytest.mark.parametrize("colour", ["black", "white", (200, 180, 190)])
def test_a_blank_image_is_accepted_with_a_warning(colour: Any) -> None:
    for format_name in ("JPEG", "PNG", "BMP"):
        accepted = accept_image(saved(Image.new("RGB", (100, 100), colour), format_name), "a")
        assert "W_BLANK" in codes(accepted)


def test_a_jpeg_cut_in_the_middle_with_a_forged_end_is_noticed() -> None:
    whole = saved(field(640, 480), "JPEG")
    accepted = accept_image(whole[: len(whole) // 2] + b"\xff\xd9", "a.jpg")
    assert codes(accepted) == ["W_FLAT_BOTTOM"]
