"""Real smear fields, which the project does not carry, through the same door as any upload."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from cases.imaging import accept_image, perceptual_hash
from tests.cases.image_files import pixels


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
