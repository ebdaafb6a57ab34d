"""Thumbnails of stored images, and perceptual hashes that find near copies."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from cases.imaging import decode, hash_distance, near_duplicates, perceptual_hash, thumbnail
from tests.cases.image_files import field, saved, srgb_profile


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
