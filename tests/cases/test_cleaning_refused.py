"""What the cleaner refuses: bombs, floods, cut files and broken structures of JPEG and PNG."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.cleaning import ImageRefused, strip_png
from tests.cases.image_files import (
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
)
from tests.cases.stripping import LIMIT, strip


def test_a_compressed_text_bomb_is_refused_without_unpacking_it() -> None:
    bomb = zlib.compress(bytes(80_000_000), 9)
    for body, kind in ((b"k\x00\x00" + bomb, b"zTXt"), (b"k\x00\x01\x00en\x00k\x00" + bomb, b"iTXt")):
        with pytest.raises(ImageRefused) as caught:
            strip_png(insert_chunks(saved(field(), "PNG"), chunk(kind, body)), metadata_limit_bytes=LIMIT)
        assert caught.value.code == "E_METADATA_TOO_LARGE"


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
