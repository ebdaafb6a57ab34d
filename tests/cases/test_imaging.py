"""Which files are accepted, as what, and which are refused with which code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFile, ImageOps

from cases import imaging
from cases.cleaning import Stripped, strip_jpeg
from cases.imaging import (
    AcceptedImage,
    ImageRefused,
    Limits,
    accept_image,
    decode,
    hash_distance,
    near_duplicates,
    perceptual_hash,
    thumbnail,
)
from tests.cases.image_files import (
    SECRET,
    SECRETS,
    bmp_of,
    chunk,
    exif,
    field,
    insert_chunks,
    insert_segments,
    pixels,
    png_of,
    saved,
    segment,
    srgb_profile,
    text_png,
    tiff_of,
)


def codes(accepted: AcceptedImage) -> list[str]:
    return [note.code for note in accepted.notes]


def refusal(data: bytes, name: str = "field.jpg", **limits: Any) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        accept_image(data, name, limits=Limits(**limits))
    error = caught.value
    assert error.message.endswith(".")
    assert error.message.isprintable()
    assert error.hint
    return error


def cmyk_tiff() -> bytes:
    return saved(field().convert("CMYK"), "TIFF")


def tiff_with(**tags: Any) -> bytes:
    numbers = {"description": 270, "subfile": 254, "sub_ifds": 330, "dng": 50706, "ndpi": 65420}
    return saved(field(), "TIFF", tiffinfo={numbers[name]: value for name, value in tags.items()})


def pages(n: int) -> bytes:
    return saved(field(), "TIFF", save_all=True, append_images=[field(seed=s) for s in range(2, n + 1)])


def bits12_png() -> bytes:
    return saved(Image.fromarray(np.random.default_rng(0).integers(0, 4095, (100, 100), dtype=np.uint16)), "PNG")


def jpeg_12bit() -> bytes:
    plain = saved(field(), "JPEG")
    at = plain.index(b"\xff\xc0")
    return plain[: at + 4] + b"\x0c" + plain[at + 5 :]


def transparent(mode: str) -> Image.Image:
    image = field().convert("RGBA")
    image.putpixel((3, 3), (1, 2, 3, 0))
    return image.convert(mode)


def almost_opaque() -> Image.Image:
    image = field().convert("RGBA")
    image.putpixel((3, 3), (1, 2, 3, 254))
    return image


def key_colour_png() -> bytes:
    image = field()
    image.putpixel((5, 5), (1, 2, 3))
    return saved(image, "PNG", transparency=(1, 2, 3))


SVG = b'<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
BAD: dict[str, tuple[bytes, str, str]] = {
    # what it is: (bytes, name, code)
    "0 bytes": (b"", "a.jpg", "E_EMPTY"),
    "1 byte FF": (b"\xff", "a.jpg", "E_NOT_IMAGE"),
    "2 bytes of a JPEG": (b"\xff\xd8", "a.jpg", "E_NOT_IMAGE"),
    "3 bytes of a JPEG": (b"\xff\xd8\xff", "a.jpg", "E_TRUNCATED"),
    "text": (b"patient,diagnosis\nP1,AML\n", "a.jpg", "E_NOT_IMAGE"),
    "html": (b"<!doctype html><script>alert(1)</script>", "a.jpg", "E_NOT_IMAGE"),
    "zeros": (bytes(5000), "a.jpg", "E_NOT_IMAGE"),
    "BM text": (b"BMW is a car, not an image", "a.bmp", "E_NOT_IMAGE"),
    "svg": (SVG, "a.svg", "E_TYPE_NOT_ALLOWED"),
    "svg with BOM": (b"\xef\xbb\xbf  " + SVG, "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "pdf": (b"%PDF-1.7\n", "a.pdf", "E_TYPE_NOT_ALLOWED"),
    "dicom": (bytes(128) + b"DICM" + bytes(100), "a.dcm", "E_TYPE_NOT_ALLOWED"),
    "heic": (b"\x00\x00\x00\x18ftypheic" + bytes(50), "a.heic", "E_TYPE_NOT_ALLOWED"),
    "avif": (b"\x00\x00\x00\x18ftypavif" + bytes(50), "a.avif", "E_TYPE_NOT_ALLOWED"),
    "mp4": (b"\x00\x00\x00\x18ftypisom" + bytes(50), "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "a.eps", "E_TYPE_NOT_ALLOWED"),
    "psd": (b"8BPS\x00\x01" + bytes(50), "a.psd", "E_TYPE_NOT_ALLOWED"),
    "gif": (saved(field().convert("P"), "GIF"), "a.gif", "E_TYPE_NOT_ALLOWED"),
    "webp": (saved(field(), "WEBP"), "a.webp", "E_TYPE_NOT_ALLOWED"),
    "ico": (saved(field(), "ICO"), "a.ico", "E_TYPE_NOT_ALLOWED"),
    "ppm": (saved(field(), "PPM"), "a.ppm", "E_TYPE_NOT_ALLOWED"),
    "jpeg 2000": (saved(field(), "JPEG2000"), "a.jp2", "E_TYPE_NOT_ALLOWED"),
    "jpeg xl": (b"\xff\x0a" + bytes(50), "a.jxl", "E_TYPE_NOT_ALLOWED"),
    "fits": (b"SIMPLE  =                    T" + bytes(80), "a.fits", "E_TYPE_NOT_ALLOWED"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "a.h5", "E_TYPE_NOT_ALLOWED"),
    "zip": (b"PK\x03\x04" + bytes(50), "a.zip", "E_TYPE_NOT_ALLOWED"),
    "gzip": (b"\x1f\x8b" + bytes(50), "a.gz", "E_TYPE_NOT_ALLOWED"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "a.rar", "E_TYPE_NOT_ALLOWED"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a.7z", "E_TYPE_NOT_ALLOWED"),
    "pickle": (b"\x80\x02}q\x00.", "a.pt", "E_TYPE_NOT_ALLOWED"),
    "elf": (b"\x7fELF" + bytes(50), "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "nd2": (b"\xda\xce\xbe\x0a" + bytes(50), "a.nd2", "E_TYPE_NOT_ALLOWED"),
    "svs": (saved(field(), "TIFF"), "scan.svs", "E_WSI_UNSUPPORTED"),
    "ndpi": (saved(field(), "TIFF"), "scan.NDPI", "E_WSI_UNSUPPORTED"),
    "mrxs": (b"x" * 100, "scan.mrxs", "E_WSI_UNSUPPORTED"),
    "czi": (b"ZISRAWFILE" + bytes(50), "scan.czi", "E_WSI_UNSUPPORTED"),
    "svs of 30 MB": (b"II*\x00" + bytes(30_000_000), "scan.svs", "E_WSI_UNSUPPORTED"),
    "Aperio TIFF named tif": (tiff_with(description="Aperio Image Library v11"), "a.tif", "E_WSI_UNSUPPORTED"),
    "NDPI tag": (tiff_with(ndpi=1), "a.tif", "E_WSI_UNSUPPORTED"),
    "camera raw (DNG)": (tiff_with(dng=b"\x01\x04\x00\x00"), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "image nested inside": (tiff_with(sub_ifds=8), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "preview page": (tiff_with(subfile=1), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "JPEG cut at 50 %": (saved(field(400, 300), "JPEG")[:9000], "a.jpg", "E_TRUNCATED"),
    "JPEG header only": (saved(field(), "JPEG")[:300], "a.jpg", "E_TRUNCATED"),
    "JPEG without a scan": (saved(field(), "JPEG")[:20] + b"\xff\xd9", "a.jpg", "E_TRUNCATED"),
    "JPEG of markers only": (b"\xff\xd8\xff\xd9", "a.jpg", "E_TRUNCATED"),
    "JPEG 12 bit": (jpeg_12bit(), "a.jpg", "E_BITDEPTH"),
    "JPEG CMYK": (saved(field().convert("CMYK"), "JPEG"), "a.jpg", "E_MODE"),
    "JPEG without tables": (
        saved(field(), "JPEG").replace(b"\xff\xdb", b"\xff\xfe").replace(b"\xff\xc4", b"\xff\xfe"),
        "a.jpg",
        "E_CORRUPT",
    ),
    "PNG with a bad checksum": (
        saved(field(), "PNG")[:-20] + b"\x00" + saved(field(), "PNG")[-19:],
        "a.png",
        "E_CORRUPT",
    ),
    "PNG cut": (saved(field(), "PNG")[:2000], "a.png", "E_TRUNCATED"),
    "PNG with IDAT too short": (png_of(100, 100), "a.png", "E_TRUNCATED"),
    "PNG with IDAT that is no zlib": (png_of(100, 100, idat=b"x" * 999), "a.png", "E_CORRUPT"),
    "PNG without end": (saved(field(), "PNG")[:-12], "a.png", "E_TRUNCATED"),
    "PNG 0 x 0": (png_of(0, 0), "a.png", "E_CORRUPT"),
    "PNG 50,000 x 50,000": (png_of(50_000, 50_000), "a.png", "E_PIXELS"),
    "PNG 12,000 x 12,000": (png_of(12_000, 12_000), "a.png", "E_PIXELS"),
    "PNG 2^31-1 wide": (png_of(2**31 - 1, 2**31 - 1), "a.png", "E_PIXELS"),
    "PNG 8,200 x 4,000": (png_of(8200, 4000), "a.png", "E_PIXELS"),
    "JPEG 60,000 x 60,000": (
        saved(field(), "JPEG").replace(b"\xff\xc0\x00\x11\x08\x00x\x00\xa0", b"\xff\xc0\x00\x11\x08\xea\x60\xea\x60"),
        "a.jpg",
        "E_PIXELS",
    ),
    "TIFF 12,000 x 9,000": (tiff_of(12_000, 9_000), "a.tif", "E_PIXELS"),
    "TIFF 100,000 x 100,000": (tiff_of(100_000, 100_000), "a.tif", "E_PIXELS"),
    "BMP 20,000 x 20,000": (bmp_of(20_000, 20_000), "a.bmp", "E_PIXELS"),
    "BMP 2^31-1": (bmp_of(2**31 - 1, 2**31 - 1), "a.bmp", "E_PIXELS"),
    "zTXt bomb": (
        insert_chunks(saved(field(), "PNG"), chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(80_000_000)))),
        "a.png",
        "E_METADATA_TOO_LARGE",
    ),
    "5 MB of EXIF": (
        insert_segments(saved(field(), "JPEG"), *[segment(0xE1, bytes(65_000))] * 80),
        "a.jpg",
        "E_METADATA_TOO_LARGE",
    ),
    "30 MB": (saved(field(), "JPEG") + bytes(30_000_000), "a.jpg", "E_TOO_LARGE"),
    "1 x 1": (saved(field(1, 1), "PNG"), "a.png", "E_TOO_SMALL"),
    "63 x 500": (saved(field(63, 500), "JPEG"), "a.jpg", "E_TOO_SMALL"),
    "8 x 4000": (saved(field(8, 4000), "PNG"), "a.png", "E_TOO_SMALL"),
    "70 x 1000": (saved(field(70, 1000), "PNG"), "a.png", "E_ASPECT"),
    "1-bit PNG": (saved(field().convert("1"), "PNG"), "a.png", "E_MODE"),
    "1-bit BMP": (saved(field().convert("1"), "BMP"), "a.bmp", "E_MODE"),
    "CMYK TIFF": (cmyk_tiff(), "a.tif", "E_MODE"),
    "Lab TIFF": (saved(field().convert("LAB"), "TIFF"), "a.tif", "E_MODE"),
    "float TIFF": (saved(field().convert("F"), "TIFF"), "a.tif", "E_BITDEPTH"),
    "32-bit TIFF": (saved(field().convert("I"), "TIFF"), "a.tif", "E_BITDEPTH"),
    "12 bits in 16": (bits12_png(), "a.png", "E_BITDEPTH"),
    "RGBA PNG": (saved(transparent("RGBA"), "PNG"), "a.png", "E_ALPHA"),
    "almost opaque PNG": (saved(almost_opaque(), "PNG"), "a.png", "E_ALPHA"),
    "LA PNG": (saved(transparent("LA"), "PNG"), "a.png", "E_ALPHA"),
    "palette PNG with alpha": (saved(field().quantize(16), "PNG", transparency=3), "a.png", "E_ALPHA"),
    "RGB PNG with a transparent colour": (key_colour_png(), "a.png", "E_ALPHA"),
    "RGBA TIFF": (saved(transparent("RGBA"), "TIFF"), "a.tif", "E_ALPHA"),
    "animated PNG": (saved(field(), "PNG", save_all=True, append_images=[field(seed=2)]), "a.png", "E_FRAMES"),
    "animated GIF": (
        saved(field(), "GIF", save_all=True, append_images=[field(seed=2)]),
        "a.gif",
        "E_TYPE_NOT_ALLOWED",
    ),
    "2-page TIFF": (pages(2), "a.tif", "E_FRAMES"),
    "4-page TIFF": (pages(4), "a.tif", "E_FRAMES"),
    "TIFF cut": (saved(field(), "TIFF")[:5000], "a.tif", "E_TRUNCATED"),
    "TIFF header only": (b"II*\x00\x08\x00\x00\x00", "a.tif", "E_CORRUPT"),
    "TIFF whose directory is outside": (b"II*\x00\xff\xff\xff\x7f" + bytes(100), "a.tif", "E_CORRUPT"),
    "BMP cut": (saved(field(), "BMP")[:3000], "a.bmp", "E_TRUNCATED"),
    "BMP header only": (saved(field(), "BMP")[:54], "a.bmp", "E_TRUNCATED"),
    "name of 300 characters": (saved(field(), "JPEG"), "x" * 300 + ".jpg", "E_NAME"),
    "name with NUL": (saved(field(), "JPEG"), "a\x00.jpg", "E_NAME"),
    "name with a text-direction mark": (saved(field(), "JPEG"), "a\u202egpj.exe", "E_NAME"),
    "name that is an extension": (saved(field(), "JPEG"), ".jpg", "E_NAME"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_a_bad_file_is_refused_with_its_code(what: str) -> None:
    data, name, code = BAD[what]
    assert refusal(data, name).code == code


def test_messages_name_what_was_found_and_the_limit() -> None:
    assert "DICOM" in refusal(*BAD["dicom"][:2]).message
    assert refusal(*BAD["0 bytes"][:2]).message == "The file is empty (0 bytes)."
    too_many = refusal(*BAD["PNG 50,000 x 50,000"][:2]).message
    assert "50,000 x 50,000 px" in too_many
    assert "2,500.0 Mpx" in too_many
    assert "40 Mpx" in too_many
    assert refusal(*BAD["BMP 20,000 x 20,000"][:2]).message == "The image has 400.0 Mpx; the limit is 40 Mpx."
    assert "4 pages" in refusal(pages(4)).message
    assert "1 x 1 px; the minimum is 64 x 64 px" in refusal(*BAD["1 x 1"][:2]).message
    large = refusal(*BAD["30 MB"][:2])
    assert (large.status, "30.0 MB; the limit is 25 MB" in large.message) == (413, True)


def test_limits_can_be_set() -> None:
    data = saved(field(), "JPEG")
    assert refusal(data, file_bytes=100).code == "E_TOO_LARGE"
    assert refusal(data, pixels_max=10_000).code == "E_PIXELS"
    assert refusal(data, side_px_max=150).code == "E_PIXELS"
    assert refusal(data, side_px_min=130).code == "E_TOO_SMALL"
    assert accept_image(saved(field(8, 8), "PNG"), "a.png", limits=Limits(side_px_min=1)).width_px == 8


@pytest.mark.parametrize("what", [w for w in BAD if BAD[w][2] == "E_PIXELS"])
def test_a_pixel_bomb_is_refused_without_decoding(what: str) -> None:
    data, name, _ = BAD[what]
    tracemalloc.start()
    try:
        refusal(data, name)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_pixel_bomb_never_reaches_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)
    for what in BAD:
        if BAD[what][2] == "E_PIXELS":
            refusal(*BAD[what][:2])


def test_truncated_images_are_not_tolerated_anywhere() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# --- Accepted as they are ---


def test_a_clean_rgb_jpeg_and_png_are_stored_as_they_came() -> None:
    for format_name in ("JPEG", "PNG"):
        data = saved(field(), format_name)
        accepted = accept_image(data, f"field.{format_name.lower()}")
        assert accepted.content == data
        assert (accepted.format, accepted.received_format) == (format_name, format_name)
        assert (accepted.width_px, accepted.height_px, accepted.notes) == (160, 120, ())
        assert accepted.received_sha256 == accepted.content_sha256 == hashlib.sha256(data).hexdigest()


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


def test_a_file_that_a_cleaner_left_dirty_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(data: bytes, **options: Any) -> Stripped:
        stripped = strip_jpeg(data, **options)
        stripped.content = data
        return stripped

    monkeypatch.setattr(imaging, "strip_jpeg", forgetful)
    assert refusal(saved(field(), "JPEG", exif=exif())).code == "E_CLEANING"


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


# --- Robustness ---


_SEEDS = [
    saved(field(), "JPEG", exif=exif(6), quality=40),
    saved(field(), "JPEG", progressive=True, quality=40),
    text_png(field(96, 80)),
    saved(field(96, 80).quantize(16), "PNG"),
    saved(field(96, 80), "TIFF"),
    saved(field(96, 80), "TIFF", compression="tiff_lzw"),
    saved(field(96, 80), "BMP"),
]


@given(st.sampled_from(_SEEDS), st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=250, deadline=None)
def test_overwritten_files_are_refused_or_give_a_clean_image(seed: bytes, patches: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for place, value in patches:
        # Half of all patches hit the headers, where the interesting damage is.
        data[place % (min(len(data), 400) if place % 2 else len(data))] = value
    with contextlib.suppress(ImageRefused):
        accepted = accept_image(bytes(data), "a")
        assert decode(accepted.content).size == (accepted.width_px, accepted.height_px)


@given(st.sampled_from(_SEEDS), st.integers(0, 2**20))
@settings(max_examples=100, deadline=None)
def test_cut_files_are_refused(seed: bytes, place: int) -> None:
    with pytest.raises(ImageRefused):
        accept_image(seed[: place % (len(seed) - 2000)], "a")


# --- Thumbnails and perceptual hashes ---


def test_thumbnails_fit_and_are_never_enlarged() -> None:
    for format_name in ("JPEG", "PNG"):
        content = saved(field(640, 480), format_name, icc_profile=srgb_profile())
        with Image.open(io.BytesIO(thumbnail(content, 200))) as small:
            assert (small.format, small.size) == ("WEBP", (200, 150))
            assert small.info["icc_profile"] == srgb_profile()
    with Image.open(io.BytesIO(thumbnail(saved(field(100, 80), "PNG"), 200))) as small:
        assert small.size == (100, 80)


def test_a_thumbnail_looks_like_its_image() -> None:
    content = saved(field(640, 480), "JPEG")
    with Image.open(io.BytesIO(thumbnail(content, 160))) as small:
        expected = np.asarray(decode(content).resize(small.size, Image.Resampling.BOX), dtype=float)
        assert np.abs(np.asarray(small.convert("RGB"), dtype=float) - expected).mean() < 6


def _blobs(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(3)
    return [Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((640, 480)) for _ in range(n)]


def test_near_copies_have_near_hashes() -> None:
    for image in _blobs(5):
        original = perceptual_hash(image)
        assert 0 <= original < 2**64
        copies = [
            Image.open(io.BytesIO(saved(image, "JPEG", quality=40))),
            Image.open(io.BytesIO(saved(image, "WEBP", quality=50))),
            image.resize((320, 240)),
            ImageEnhance.Brightness(image).enhance(1.05),
            ImageEnhance.Contrast(image).enhance(0.9),
            image.convert("L"),
        ]
        assert max(hash_distance(original, perceptual_hash(copy)) for copy in copies) <= 4


def test_other_images_and_mirrored_ones_have_far_hashes() -> None:
    blobs = _blobs(12)
    hashes = [perceptual_hash(blob) for blob in blobs]
    assert min(hash_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 10
    assert hash_distance(hashes[0], perceptual_hash(ImageOps.mirror(blobs[0]))) > 10


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 64))
@settings(deadline=None)
def test_near_duplicates_are_those_of_a_plain_double_loop(hashes: list[int], limit: int) -> None:
    hashes += [h ^ 5 for h in hashes[:3]]
    expected = [
        (i, j, hash_distance(hashes[i], hashes[j]))
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if hash_distance(hashes[i], hashes[j]) <= limit
    ]
    assert near_duplicates(hashes, limit) == expected


def test_near_duplicates_are_found_across_blocks() -> None:
    rng = np.random.default_rng(2)
    hashes = [int(h) for h in rng.integers(0, 2**63, 3000, dtype=np.uint64)]
    hashes[2999], hashes[1500] = hashes[10] ^ 0b111, hashes[1499]
    assert near_duplicates(hashes) == [(10, 2999, 3), (1499, 1500, 0)]


def test_hash_distance_counts_bits() -> None:
    assert hash_distance(0, 2**64 - 1) == 64
    assert hash_distance(0b1011, 0b0010) == 2


# --- Real smear fields ---


def _shared_fields() -> list[Path]:
    folder = os.environ.get("LEUKOWEB_SHARED")
    if not folder:
        pytest.skip("real smear fields: LEUKOWEB_SHARED is not set")
    return sorted(p for p in (Path(folder) / "data").rglob("*") if p.suffix in (".jpg", ".png", ".tiff"))


def test_every_real_field_is_accepted_and_keeps_its_pixels() -> None:
    paths = _shared_fields()
    assert len(paths) == 450
    stored: dict[str, list[str]] = {}
    for path in paths:
        data = path.read_bytes()
        accepted = accept_image(data, path.name)
        assert pixels(accepted.content) == pixels(data), path.name
        stored.setdefault(accepted.content_sha256, []).append(path.name)
    assert [names for names in stored.values() if len(names) > 1] == [["568.jpg", "615.jpg"]]


def test_perceptual_hashes_equal_those_published_with_the_real_fields() -> None:
    _shared_fields()
    folder = Path(os.environ["LEUKOWEB_SHARED"]) / "data"
    lines = (folder / "manifest.csv").read_text().splitlines()
    header = lines[0].split(",")
    for line in lines[1:]:
        row = dict(zip(header, line.split(","), strict=False))
        with Image.open(folder / row["path"]) as image:
            assert f"{perceptual_hash(image):016x}" == row["phash"], row["path"]


def test_the_secret_of_these_tests_is_really_in_the_dirty_files() -> None:
    assert SECRET in saved(field(), "JPEG", exif=exif())
    assert SECRET in text_png(field())
