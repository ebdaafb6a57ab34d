"""Colour profiles keep their colours and lose their texts; what is no plain RGB profile goes."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cases.cleaning import require_clean, strip_jpeg, strip_png
from cases.icc import rebuild_profile
from tests.cases.image_files import SECRET, chunk, field, insert_chunks, profile_with, saved, srgb_profile
from tests.cases.stripping import LIMIT


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


def test_a_profile_bomb_is_left_out() -> None:
    body = b"icc\x00\x00" + zlib.compress(bytes(50_000_000), 9)
    result = strip_png(insert_chunks(saved(field(), "PNG"), chunk(b"iCCP", body)), metadata_limit_bytes=LIMIT)
    assert result.removed == ["colour profile (not a plain RGB profile)"]
