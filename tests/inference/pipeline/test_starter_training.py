"""What the starter is trained on: drawn fields, their targets, and crops of their cells."""

from __future__ import annotations

import numpy as np
import pytest

from inference.starter_training import BACKGROUND, CROP_PX, MIX, RECIPE, SLOT_MAPS, Drawn, cell_crops, draw, image_set


@pytest.fixture(scope="module")
def fields() -> list[Drawn]:
    return draw(6, seed=5, styles=("dp73", "dp25"), n_fields=2, workers=1)


def test_patients_are_apart_and_mixed(fields: list[Drawn]) -> None:
    assert len({field.patient for field in fields}) == 6
    assert {field.diagnosis for field in fields} <= set(MIX)
    assert len({field.diagnosis for field in fields}) >= 4
    assert sum(MIX.values()) == 100


def test_one_field_has_a_target_for_each_model(fields: list[Drawn]) -> None:
    for slot in SLOT_MAPS:
        data = image_set(fields, slot)
        assert data.images.shape == (len(fields), RECIPE.size_px, RECIPE.size_px, 3)
        for field, target in zip(fields, data.targets, strict=True):
            negative = field.label in ("REACTIVE", "NO_LEUKEMIA")
            assert (data.classes[target] in ("REACTIVE", "NO_LEUKEMIA")) == negative


def test_crops_show_the_cells_they_name(fields: list[Drawn]) -> None:
    """Nucleated cells are darker in green than the background between them."""
    kinds = (BACKGROUND, *sorted({kind for field in fields for kind, _, _ in field.cells}))
    crops = cell_crops(fields, kinds, seed=1)
    assert crops.images.shape[1:] == (CROP_PX, CROP_PX, 3)
    assert (crops.targets > 0).sum() == sum(len(field.cells) for field in fields)
    middle = slice(CROP_PX // 2 - 8, CROP_PX // 2 + 8)
    green = crops.images[:, middle, middle, 1].mean((1, 2))
    assert np.median(green[crops.targets > 0]) < np.median(green[crops.targets == 0]) - 20


def test_other_patients_have_cameras_that_nobody_else_has(fields: list[Drawn]) -> None:
    mixed = draw(6, seed=5, styles=("dp73", "dp25"), n_fields=2, named_every=3, workers=1)
    same = [bool((a.pixels == b.pixels).all()) for a, b in zip(fields, mixed, strict=True)]
    assert same == [True, True, *[False] * 4] * 2  # patients 0 and 3 have named cameras as before
    assert [field.cells for field in fields] == [field.cells for field in mixed]  # the same smears
