"""Metadata goes, pixels stay: byte-level cleaning of JPEG and PNG."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from cases.cleaning import ImageRefused, require_clean, strip_jpeg, strip_png
from tests.cases.image_files import (
    SECRET,
    SECRETS,
    chunk,
    exif,
    field,
    insert_chunks,
    insert_segments,
    pixels,
    saved,
    segment,
    srgb_profile,
    text_png,
)
from tests.cases.stripping import LIMIT, strip

JPEG_VARIANTS: list[dict[str, Any]] = [
    {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    for quality in (30, 75, 100)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0")
    for progressive in (False, True)
] + [
    {"keep_rgb": True},
    {"keep_rgb": True, "progressive": True},
    {"restart_marker_blocks": 1},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 3, "progressive": True},
    {"optimize": True},
    {"dpi": (300, 300)},
]


@pytest.mark.parametrize("options", JPEG_VARIANTS, ids=str)
def test_a_jpeg_keeps_every_pixel_and_loses_every_secret(options: dict[str, Any]) -> None:
    dirty = saved(field(), "JPEG", exif=exif(), comment=b"DOE^JANE", xmp=b"<x>" + SECRET, **options)
    dirty = insert_segments(dirty, segment(0xED, b"Photoshop 3.0\x00" + SECRET), segment(0xEC, SECRET))
    dirty += b"PK\x03\x04" + SECRET
    result = strip_jpeg(dirty, metadata_limit_bytes=LIMIT)
    assert pixels(result.content) == pixels(dirty)
    assert not [secret for secret in SECRETS if secret in result.content]
    assert result.trailing_bytes == 4 + len(SECRET)
    assert set(result.removed) >= {"EXIF", "comment", "XMP", "IPTC", "APP12 data"}
    assert (result.width_px, result.height_px, result.channels, result.bit_depth) == (160, 120, 3, 8)
    require_clean(result.content)


def test_cleaning_twice_changes_nothing() -> None:
    once = strip(saved(field(), "JPEG", exif=exif(), icc_profile=srgb_profile()))
    assert strip(once) == once


def _rgb_by_adobe_marker_alone() -> bytes:
    """RGB components named 1, 2, 3 as in YCbCr, so that only the Adobe marker says what they are."""
    plain = saved(field(), "JPEG", keep_rgb=True)
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    data = bytearray(plain)
    for number in range(3):
        data[frame + 10 + 3 * number] = number + 1
        data[scan + 5 + 2 * number] = number + 1
    return bytes(data)


def test_the_adobe_marker_that_decides_the_colours_stays_without_its_tail() -> None:
    plain = _rgb_by_adobe_marker_alone()
    start = plain.index(b"\xff\xee")
    dirty = plain[:start] + segment(0xEE, plain[start + 4 : start + 16] + SECRET) + plain[start + 16 :]
    assert pixels(strip(dirty)) == pixels(plain)
    assert SECRET not in strip(dirty)
    assert pixels(plain[:start] + plain[start + 16 :]) != pixels(plain), "the marker must matter for this test"


def test_the_preview_inside_jfif_goes() -> None:
    plain = saved(field(), "JPEG")
    preview = plain[6:18] + b"\x02\x02" + SECRET + b"\x00\x00\x00"
    dirty = plain[:2] + segment(0xE0, preview) + plain[20:]
    result = strip_jpeg(dirty, metadata_limit_bytes=LIMIT)
    assert result.removed == ["JFIF preview"]
    assert SECRET not in result.content
    assert pixels(result.content) == pixels(plain)


def test_fill_bytes_and_stray_bytes_between_segments_are_skipped_as_decoders_do() -> None:
    plain = saved(field(), "JPEG")
    dirty = plain[:20] + b"\xff\xff\xff" + plain[20:]
    assert pixels(strip(dirty)) == pixels(plain)
    stray = plain[:20] + SECRET + plain[20:]
    assert SECRET not in strip(stray)
    assert pixels(strip(stray)) == pixels(plain)


def test_the_second_picture_of_a_multi_picture_file_is_cut_off() -> None:
    dirty = saved(field(), "MPO", save_all=True, append_images=[field(seed=2)])
    result = strip_jpeg(dirty, metadata_limit_bytes=LIMIT)
    assert result.trailing_bytes > 1000
    assert "multi-picture index" in result.removed
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_before_the_tag_goes(orientation: int) -> None:
    jpeg = saved(field(), "JPEG", exif=exif(orientation))
    assert strip_jpeg(jpeg, metadata_limit_bytes=LIMIT).orientation == orientation
    png = saved(field(), "PNG", exif=exif(orientation))
    assert strip_png(png, metadata_limit_bytes=LIMIT).orientation == orientation


@pytest.mark.parametrize(
    "block",
    [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"MM\x00*\x00\x00\x00\x08\xff\xff", b"XX*\x00\x08\x00\x00\x00",
     b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00\x00"],
)  # fmt: skip
def test_a_broken_exif_block_means_upright(block: bytes) -> None:
    jpeg = insert_segments(saved(field(), "JPEG"), segment(0xE1, b"Exif\x00\x00" + block))
    assert strip_jpeg(jpeg, metadata_limit_bytes=LIMIT).orientation == 1


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "RGBA", "1", "LA"])
def test_a_png_keeps_every_pixel_and_loses_every_secret(mode: str) -> None:
    dirty = text_png(field().convert(mode), exif=exif()) + SECRET
    dirty = insert_chunks(dirty, chunk(b"tIME", b"\x07\xb2\x01\x02\x00\x00\x00"), chunk(b"prVt", SECRET))
    result = strip_png(dirty, metadata_limit_bytes=LIMIT)
    assert pixels(result.content) == pixels(dirty)
    assert not [secret for secret in SECRETS if secret in result.content]
    assert set(result.removed) == {"text", "EXIF", "time", "prVt chunk"}
    assert result.trailing_bytes == len(SECRET)
    assert strip_png(result.content, metadata_limit_bytes=0).content == result.content


def test_png_chunks_that_decide_the_look_stay_but_only_at_their_exact_length() -> None:
    kept = [chunk(b"gAMA", bytes(3) + b"\x01"), chunk(b"sRGB", b"\x00"), chunk(b"pHYs", bytes(9))]
    png = insert_chunks(saved(field(), "PNG"), *kept)
    assert strip_png(png, metadata_limit_bytes=LIMIT).content == png
    padded = insert_chunks(saved(field(), "PNG"), chunk(b"pHYs", bytes(9) + SECRET))
    result = strip_png(padded, metadata_limit_bytes=LIMIT)
    assert SECRET not in result.content
    assert result.removed == ["pHYs chunk"]


def test_a_run_of_stray_restart_markers_ends() -> None:
    jpeg = insert_segments(saved(field(), "JPEG"), b"\xff\xd0" * 50_000)
    assert pixels(strip(jpeg)) == pixels(saved(field(), "JPEG"))


# --- The check afterwards ---


def test_require_clean_finds_what_a_caller_left_in() -> None:
    clean = strip(saved(field(), "JPEG"))
    require_clean(clean)
    for dirty in (
        insert_segments(clean, segment(0xFE, SECRET)),
        clean + SECRET,
        saved(field(), "JPEG", exif=exif()),
        text_png(field()),
        saved(field().convert("L"), "PNG"),
        saved(field().convert("L"), "JPEG"),
        saved(field().convert("RGBA"), "PNG"),
        clean[:-2],
        b"",
    ):
        with pytest.raises(ImageRefused) as caught:
            require_clean(dirty)
        assert caught.value.code == "E_CLEANING"
