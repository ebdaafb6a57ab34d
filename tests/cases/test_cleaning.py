"""Metadata goes, pixels stay: byte-level cleaning of JPEG and PNG, and of colour profiles."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cases.cleaning import ImageRefused, require_clean, strip_jpeg, strip_png
from cases.icc import rebuild_profile
from tests.cases.image_files import (
    SECRET,
    SECRETS,
    chunk,
    exif,
    field,
    insert_chunks,
    insert_segments,
    pixels,
    png_of,
    profile_with,
    saved,
    segment,
    srgb_profile,
    text_png,
)

LIMIT = 4_000_000
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


def strip(data: bytes) -> bytes:
    return strip_jpeg(data, metadata_limit_bytes=LIMIT).content


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


def test_a_compressed_text_bomb_is_refused_without_unpacking_it() -> None:
    bomb = zlib.compress(bytes(80_000_000), 9)
    for body, kind in ((b"k\x00\x00" + bomb, b"zTXt"), (b"k\x00\x01\x00en\x00k\x00" + bomb, b"iTXt")):
        with pytest.raises(ImageRefused) as caught:
            strip_png(insert_chunks(saved(field(), "PNG"), chunk(kind, body)), metadata_limit_bytes=LIMIT)
        assert caught.value.code == "E_METADATA_TOO_LARGE"


def test_a_profile_bomb_is_left_out() -> None:
    body = b"icc\x00\x00" + zlib.compress(bytes(50_000_000), 9)
    result = strip_png(insert_chunks(saved(field(), "PNG"), chunk(b"iCCP", body)), metadata_limit_bytes=LIMIT)
    assert result.removed == ["colour profile (not a plain RGB profile)"]


def test_many_megabytes_of_metadata_are_refused() -> None:
    jpeg = insert_segments(saved(field(), "JPEG"), *[segment(0xE1, bytes(65_000))] * 70)
    with pytest.raises(ImageRefused) as caught:
        strip(jpeg)
    assert caught.value.code == "E_METADATA_TOO_LARGE"
    png = insert_chunks(saved(field(), "PNG"), chunk(b"tEXt", b"k\x00" + b"x" * 5_000_000))
    with pytest.raises(ImageRefused) as caught:
        strip_png(png, metadata_limit_bytes=LIMIT)
    assert caught.value.code == "E_METADATA_TOO_LARGE"


def test_floods_of_segments_scans_and_chunks_are_refused() -> None:
    plain = saved(field(), "JPEG", progressive=True)
    scan_at = plain.rindex(b"\xff\xda")
    for flooded in (
        insert_segments(plain, *[segment(0xDD, b"\x00\x00")] * 20_000),
        plain[:-2] + plain[scan_at:-2] * 200 + plain[-2:],
    ):
        with pytest.raises(ImageRefused) as caught:
            strip(flooded)
        assert caught.value.code == "E_CORRUPT"
    flood = insert_chunks(saved(field(), "PNG"), *[chunk(b"IDAT", b"")] * 100_001)
    with pytest.raises(ImageRefused) as caught:
        strip_png(flood, metadata_limit_bytes=LIMIT)
    assert caught.value.code == "E_CORRUPT"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_cut_file_is_truncated(share: float) -> None:
    for data in (saved(field(), "JPEG"), saved(field(), "JPEG", progressive=True)):
        with pytest.raises(ImageRefused) as caught:
            strip(data[: max(3, int(len(data) * share))])
        assert caught.value.code == "E_TRUNCATED"
    png = saved(field(), "PNG")
    with pytest.raises(ImageRefused) as caught:
        strip_png(png[: max(9, int(len(png) * share))], metadata_limit_bytes=LIMIT)
    assert caught.value.code == "E_TRUNCATED"


def _frame(marker: int, body: bytes) -> bytes:
    plain = saved(field(), "JPEG")
    at = plain.index(b"\xff\xc0")
    length = struct.unpack_from(">H", plain, at + 2)[0]
    return plain[:at] + segment(marker, body or plain[at + 4 : at + 2 + length]) + plain[at + 2 + length :]


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF, 0xDE, 0xF7])
def test_codings_that_browsers_do_not_show_are_refused_by_name(marker: int) -> None:
    with pytest.raises(ImageRefused) as caught:
        strip(_frame(marker, b""))
    assert caught.value.code == "E_TYPE_NOT_ALLOWED"


@pytest.mark.parametrize(
    "jpeg",
    [
        _frame(0xC0, b"\x08\x00\x00\x00\xa0\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01"),
        _frame(0xC0, b"\x08"),
        insert_segments(saved(field(), "JPEG"), segment(0xC0, b"\x08\x00\x78\x00\xa0\x03")),
        insert_segments(saved(field(), "JPEG"), segment(0x42, b"")),
        insert_segments(saved(field(), "JPEG"), b"\xff\xd8"),
        insert_segments(saved(field(), "JPEG"), b"\xff\xe1\x00\x01"),
        insert_segments(saved(field(), "JPEG"), segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")),
        insert_segments(saved(field(), "JPEG"), b"\xff\x00"),
    ],
    ids=["height 0", "short frame", "two frames", "reserved marker", "second start", "length 1", "early scan", "FF00"],
)
def test_a_jpeg_with_a_broken_structure_is_corrupt(jpeg: bytes) -> None:
    with pytest.raises(ImageRefused) as caught:
        strip(jpeg)
    assert caught.value.code == "E_CORRUPT"


def test_a_run_of_stray_restart_markers_ends() -> None:
    jpeg = insert_segments(saved(field(), "JPEG"), b"\xff\xd0" * 50_000)
    assert pixels(strip(jpeg)) == pixels(saved(field(), "JPEG"))


@pytest.mark.parametrize(
    "png",
    [
        png_of(0, 100),
        png_of(100, 0),
        png_of(100, 100, colour=5),
        insert_chunks(saved(field(), "PNG"), chunk(b"XXXX", b"")),
        saved(field(), "PNG")[:8] + chunk(b"IEND", b""),
        saved(field(), "PNG")[:33] + chunk(b"IEND", b""),
        insert_chunks(saved(field(), "PNG"), b"\x00\x00\x00\x00\x00\x01\x02\x03\x00\x00\x00\x00"),
        insert_chunks(saved(field(), "PNG"), b"\xff\xff\xff\xfftEXt"),
        insert_chunks(saved(field(), "PNG"), chunk(b"tEXt", b"a\x00b")[:-1] + b"\x00"),
    ],
    ids=[
        "width 0",
        "height 0",
        "colour type 5",
        "unknown critical",
        "no header",
        "no data",
        "no type",
        "length",
        "crc",
    ],
)
def test_a_png_with_a_broken_structure_is_corrupt(png: bytes) -> None:
    with pytest.raises(ImageRefused) as caught:
        strip_png(png, metadata_limit_bytes=LIMIT)
    assert caught.value.code == "E_CORRUPT"


def test_an_animated_png_is_refused_and_a_single_frame_one_is_not() -> None:
    many = saved(field(), "PNG", save_all=True, append_images=[field(seed=2), field(seed=3)])
    with pytest.raises(ImageRefused) as caught:
        strip_png(many, metadata_limit_bytes=LIMIT)
    assert caught.value.code == "E_FRAMES"
    assert "3 frames" in caught.value.message
    single = insert_chunks(saved(field(), "PNG"), chunk(b"acTL", struct.pack(">II", 1, 0)))
    assert pixels(strip_png(single, metadata_limit_bytes=LIMIT).content) == pixels(single)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_overwritten_bytes_never_raise_anything_but_a_refusal(place: int, patch: bytes) -> None:
    for data, is_jpeg in ((_SMALL_JPEG, True), (_SMALL_PNG, False)):
        at = place % len(data)
        broken = data[:at] + patch + data[at + len(patch) :]
        with contextlib.suppress(ImageRefused):
            strip(broken) if is_jpeg else strip_png(broken, metadata_limit_bytes=LIMIT)


_SMALL_JPEG = saved(field(), "JPEG", exif=exif(), icc_profile=srgb_profile(), quality=30)
_SMALL_PNG = text_png(field(64, 64), icc_profile=srgb_profile())


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


# --- Colour profiles ---


def _transformed(profile: bytes) -> bytes:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(source, target, "RGB", "LAB")
    moved = ImageCms.applyTransform(field(64, 64), transform)
    assert moved is not None
    return moved.tobytes()


def _wide_v2_profile() -> bytes:
    """A version 2 matrix profile with gamma 1.8 and text in all the usual places."""

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *[round(v * 65536) for v in values])

    text = b"text" + bytes(4) + SECRET + b"\x00"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(SECRET) + 1) + SECRET + bytes(1 + 78)
    tags = {
        b"rXYZ": xyz(0.61, 0.311, 0.019), b"gXYZ": xyz(0.205, 0.626, 0.061), b"bXYZ": xyz(0.149, 0.063, 0.745),
        b"wtpt": xyz(0.9642, 1, 0.8249), b"cprt": text, b"desc": desc, b"dmnd": desc, b"dmdd": desc,
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(4) + struct.pack(">IH", 1, 461) + SECRET[:2]),
    }  # fmt: skip
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, element in tags.items():
        table += struct.pack(">4sII", tag, at + len(body), len(element))
        body += element + bytes(-len(element) % 4)
    header = bytearray(128)
    header[8:12], header[12:24], header[36:40] = b"\x02\x10\x00\x00", b"mntrRGB XYZ ", b"acsp"
    header[24:36] = struct.pack(">6H", 1970, 1, 2, 3, 4, 5)
    header[48:56], header[68:80] = b"MRN90001", bytes.fromhex("0000f6d6000100000000d32d")
    return struct.pack(">I", at + len(body)) + bytes(header[4:]) + table + body


@pytest.mark.parametrize("profile", [srgb_profile(), _wide_v2_profile()], ids=["v4", "v2"])
def test_a_rebuilt_profile_means_the_same_colours_and_says_nothing(profile: bytes) -> None:
    dirty = profile_with(profile, b"priv", b"text" + bytes(4) + SECRET + b"\x00")
    rebuilt = rebuild_profile(dirty)
    assert rebuilt is not None
    assert _transformed(rebuilt) == _transformed(profile)
    assert SECRET not in rebuilt
    assert b"MRN9" not in rebuilt
    assert struct.unpack_from(">6H", rebuilt, 24) == (2000, 1, 1, 0, 0, 0)
    assert rebuild_profile(rebuilt) == rebuilt


def test_reserved_bytes_of_a_profile_carry_nothing() -> None:
    good = srgb_profile()
    curve = good.index(b"para")
    rebuilt = rebuild_profile(good[: curve + 10] + b"Jo" + good[curve + 12 :])
    assert rebuilt is not None
    assert rebuilt == rebuild_profile(good)


def test_a_profile_that_is_no_plain_rgb_profile_is_not_kept() -> None:
    good = srgb_profile()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    without_red = good.replace(b"rXYZ", b"qXYZ")
    outside = good[:136] + struct.pack(">I", 10**9) + good[140:]
    twice = profile_with(good, b"rXYZ", bytes(20))
    grey = good[:16] + b"GRAY" + good[20:]
    for profile in (b"", b"x" * 127, good[:200], lab, without_red, outside, twice, grey, bytes(2_000_000)):
        assert rebuild_profile(profile) is None


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_an_overwritten_profile_is_rebuilt_or_left_out(place: int, patch: bytes) -> None:
    good = srgb_profile()
    at = place % len(good)
    rebuilt = rebuild_profile(good[:at] + patch + good[at + len(patch) :])
    assert rebuilt is None or rebuild_profile(rebuilt) == rebuilt


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_a_files_profile_stays_without_its_texts(format_name: str) -> None:
    profile = profile_with(srgb_profile(), b"priv", b"text" + bytes(4) + SECRET + b"\x00")
    data = saved(field(), format_name, icc_profile=profile)
    result = strip_jpeg(data, metadata_limit_bytes=LIMIT) if format_name == "JPEG" else strip_png(
        data, metadata_limit_bytes=LIMIT
    )  # fmt: skip
    assert result.removed == ["colour profile texts"]
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.info["icc_profile"] == rebuild_profile(profile)
    require_clean(result.content)


def test_a_profile_in_several_segments_is_put_together() -> None:
    profile = profile_with(srgb_profile(), b"priv", b"text" + bytes(150_000))
    result = strip_jpeg(saved(field(), "JPEG", icc_profile=profile), metadata_limit_bytes=LIMIT)
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.info["icc_profile"] == rebuild_profile(profile)
