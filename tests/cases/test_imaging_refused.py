"""Which files are refused with which code and message, and what hostile files cost."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from cases import imaging
from cases.cleaning import Stripped, strip_jpeg
from cases.imaging import ImageRefused, Limits, accept_image, decode
from tests.cases.bad_images import BAD, pages
from tests.cases.image_files import exif, field, saved, text_png


def refusal(data: bytes, name: str = "field.jpg", **limits: Any) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        accept_image(data, name, limits=Limits(**limits))
    error = caught.value
    assert error.message.endswith(".")
    assert error.message.isprintable()
    assert error.hint
    return error


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


def test_a_file_that_a_cleaner_left_dirty_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(data: bytes, **options: Any) -> Stripped:
        stripped = strip_jpeg(data, **options)
        stripped.content = data
        return stripped

    monkeypatch.setattr(imaging, "strip_jpeg", forgetful)
    assert refusal(saved(field(), "JPEG", exif=exif())).code == "E_CLEANING"


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
