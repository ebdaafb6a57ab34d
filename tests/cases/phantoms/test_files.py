from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cases.phantoms import PhantomField, blurred, brightness_shifted, draw_field, encode_jpeg, reencoded


@pytest.fixture(scope="module")
def field() -> PhantomField:
    return draw_field("AML", seed=11, width_px=320)


@pytest.mark.parametrize("metadata", [True, False])
def test_every_file_says_phantom(field: PhantomField, metadata: bool) -> None:
    with Image.open(io.BytesIO(encode_jpeg(field, metadata=metadata))) as image:
        assert b"PHANTOM" in image.info["comment"]
        assert ("PHANTOM" in image.getexif().get(0x010E, "")) is metadata
        assert image.size == (320, 240)


def test_a_planted_identity_lies_in_the_bytes_only_when_asked_for(field: PhantomField) -> None:
    name = "Erika Erfunden"
    assert name.encode() not in encode_jpeg(field)
    planted = encode_jpeg(field, planted_identity=name)
    assert planted.count(name.encode()) >= 3
    assert b"PHANTOM" in planted
    with Image.open(io.BytesIO(planted)) as image:
        assert image.getexif()[0x013B] == name


def test_jpeg_bytes_are_reproducible(field: PhantomField) -> None:
    assert encode_jpeg(field) == encode_jpeg(draw_field("AML", seed=11, width_px=320))


def test_quality_is_checked(field: PhantomField) -> None:
    with pytest.raises(ValueError, match="quality is 0"):
        encode_jpeg(field, quality=0)


def test_blurred_loses_detail(field: PhantomField) -> None:
    def detail(image: Image.Image) -> float:
        return float(np.abs(np.diff(np.asarray(image.convert("L"), dtype=float), axis=1)).mean())

    assert detail(blurred(field).image) < 0.6 * detail(field.image)


def test_near_duplicates_differ_in_bytes_and_little_in_looks(field: PhantomField) -> None:
    jpeg = encode_jpeg(field)
    original = np.asarray(field.image, dtype=float)
    again = reencoded(jpeg, quality=70)
    assert again != jpeg
    with Image.open(io.BytesIO(again)) as image:
        assert np.abs(np.asarray(image, dtype=float) - original).mean() < 6
        assert b"PHANTOM" in image.info["comment"]
    shifted = np.asarray(brightness_shifted(field, factor=0.94).image, dtype=float)
    assert 3 < (original - shifted).mean() < 20
