"""Padding, resizing and the way back from a map to the image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.errors import RecipeInvalid
from inference.pipeline.preprocess import Recipe, crop_to_content, decode


def test_a_recipe_survives_its_dict_and_the_library_version_is_only_a_note() -> None:
    recipe = Recipe(size_px=320, mean=(0.7, 0.6, 0.65), std=(0.2, 0.25, 0.1))
    assert Recipe.from_dict(recipe.as_dict()) == recipe
    other = Recipe.from_dict(recipe.as_dict() | {"library_version": "1.0"})
    assert other.sha256 == recipe.sha256
    assert Recipe(size_px=448).sha256 != recipe.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": 16},
        {"size_px": 448.0},
        {"mean": [1, 2]},
        {"mean": [0.1, 0.2, "x"]},
        {"std": [0, 1, 1]},
        {"std": [float("nan"), 1, 1]},
        {"antialias": False},
        {"pad": "top-left"},
        {"interpolation": "bicubic"},
        {"library": "OpenCV"},
        {"unknown": 1},
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecipeInvalid):
        Recipe.from_dict(Recipe().as_dict() | change)
    with pytest.raises(RecipeInvalid):
        Recipe.from_dict({"size_px": 448})


@pytest.mark.parametrize("size", [(160, 120), (120, 160), (100, 100), (101, 64), (448, 448), (1, 77)])
def test_padding_is_black_centred_and_the_content_is_inside_its_box(size: tuple[int, int]) -> None:
    recipe = Recipe(size_px=128)
    prepared = recipe.prepare(Image.new("RGB", size, (255, 255, 255)))
    assert prepared.shape == (128, 128, 3)
    assert prepared.dtype == np.uint8
    left, top, right, bottom = recipe.content_box(size)
    bright = prepared[..., 0] > 250
    ys, xs = np.nonzero(prepared[..., 0] > 127)
    assert abs(xs.min() - left) <= 1
    assert abs(xs.max() + 1 - right) <= 1
    assert abs(ys.min() - top) <= 1
    assert abs(ys.max() + 1 - bottom) <= 1
    outside = np.ones((128, 128), dtype=bool)
    pad = 2
    outside[max(0, int(top) - pad) : int(bottom) + 1 + pad, max(0, int(left) - pad) : int(right) + 1 + pad] = False
    assert not bright[outside].any()
    assert not prepared[outside].any()


@pytest.mark.parametrize(
    ("width", "height"),
    [(400, 300), (300, 400), (400, 400), (401, 300), (64, 31), (17, 9), (9, 17), (400, 1), (63, 64)],
)
def test_resizing_is_antialiased_bilinear_of_the_padded_square(width: int, height: int) -> None:
    """Byte for byte, although a wide image is padded between the two halves of the resizing."""
    side = max(width, height)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    square = np.zeros((side, side, 3), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    expected = Image.fromarray(square).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(Recipe(size_px=64).prepare(Image.fromarray(pixels)), np.asarray(expected))


def test_the_resizing_is_antialiased() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    prepared = Recipe(size_px=64).prepare(Image.fromarray(pixels))
    # A plain two-tap bilinear of noise keeps its spread; antialiasing averages it away.
    assert prepared[10:50].std() < 25


def test_grey_images_become_rgb() -> None:
    prepared = Recipe(size_px=32).prepare(Image.new("L", (40, 40), 77))
    assert np.array_equal(prepared, np.full((32, 32, 3), 77, dtype=np.uint8))


@pytest.mark.parametrize("size", [(160, 120), (120, 160), (128, 128)])
def test_a_hot_spot_comes_back_where_it_was(size: tuple[int, int]) -> None:
    recipe = Recipe(size_px=64)
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    x, y = size[0] // 4, size[1] // 3
    image[y - 8 : y + 8, x - 8 : x + 8] = 255
    prepared = recipe.prepare(Image.fromarray(image))
    values = (prepared[..., 0] / 255).astype(np.float32)
    back = crop_to_content(values, recipe, size, size)
    assert back.shape == (size[1], size[0])
    ys, xs = np.nonzero(back > 0.5)
    assert abs(ys.mean() - (y - 0.5)) < 1.5
    assert abs(xs.mean() - (x - 0.5)) < 1.5


def test_a_map_must_be_square() -> None:
    with pytest.raises(RecipeInvalid):
        crop_to_content(np.zeros((7, 8), dtype=np.float32), Recipe(), (10, 10), (10, 10))


def test_decode_gives_rgb_or_says_why_not() -> None:
    stream = io.BytesIO()
    Image.new("L", (10, 8), 5).save(stream, "PNG")
    image = decode(stream.getvalue())
    assert (image.mode, image.size) == ("RGB", (10, 8))
    for bad in (b"", b"text", stream.getvalue()[:40]):
        with pytest.raises(RecipeInvalid) as caught:
            decode(bad)
        assert caught.value.code == "E_UNREADABLE"
