from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cases.phantoms import STYLES
from cases.phantoms.contact_sheet import main as contact_sheet
from cases.phantoms.kinds import RECIPES
from cases.phantoms.shapes import ANGLES, Canvas, dent, directions, outline
from cases.phantoms.styles import Stain
from cases.phantoms.texture import tile
from cases.phantoms.white_cells import cell_outline, draw_smudge, draw_white_cell


def _draw(kind: str, seed: int, x: float = 20.0) -> Canvas:
    canvas = Canvas(320, 40.0, STYLES["dp73"].stains)
    rng = np.random.default_rng(seed)
    recipe = RECIPES[kind](rng, 1.0)
    draw_white_cell(canvas, x, 15.0, recipe, np.random.default_rng(seed), cell_outline(recipe, rng))
    return canvas


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_every_kind_absorbs_where_it_lies_and_nowhere_else(kind: str) -> None:
    for seed in range(3):
        density = _draw(kind, seed).density
        assert np.isfinite(density).all()
        assert density.min() >= -1e-4
        assert density[1, 120 - 8 : 120 + 8, 160 - 8 : 160 + 8].mean() > 0.15
        assert np.abs(density[:, :4, :]).max() < 1e-4


def test_absorbances_add_where_cells_overlap() -> None:
    canvas = Canvas(160, 40.0, STYLES["dp73"].stains)
    patch = canvas.patch(20.0, 15.0, 4.0)
    assert patch is not None
    one = np.ones(patch.shape, dtype=np.float32)
    canvas.add(patch, one, Stain.BLUE)
    canvas.add(patch, 2 * one, Stain.CHROMATIN)
    stains = STYLES["dp73"].stains
    np.testing.assert_allclose(canvas.density[:, 60, 80], stains[Stain.BLUE] + 2 * stains[Stain.CHROMATIN], rtol=1e-6)
    assert canvas.density[:, 0, 0].tolist() == [0, 0, 0]


def test_cells_cut_by_the_border_look_the_same_as_whole_ones() -> None:
    whole, cut = _draw("neutrophil", 3, x=20.0).density, _draw("neutrophil", 3, x=0.0).density
    seen = whole[:, :, 160 : 160 + 60]
    agree = np.corrcoef(seen.ravel(), cut[:, :, :60].ravel())[0, 1]
    assert agree > 0.97
    assert Canvas(160, 40.0, STYLES["dp73"].stains).patch(-30.0, 10.0, 5.0) is None


def test_a_dented_outline_keeps_clear_of_its_neighbour() -> None:
    edge = outline(np.random.default_rng(1), 4.0)
    pressed = dent(edge, 6.0, 0.0, 4.0)
    angle = directions()
    reach = np.hypot(pressed * np.cos(angle) - 6.0, pressed * np.sin(angle))
    assert pressed.shape == (ANGLES,)
    assert reach.min() > 3.8
    away = np.abs(angle - np.pi) < 1.5
    np.testing.assert_allclose(pressed[away], edge[away], rtol=0.02)


def test_eosinophils_are_orange_and_basophils_blue_black_beside_neutrophils() -> None:
    def absorbed(kind: str) -> np.ndarray:
        return np.mean([_draw(kind, seed).density.mean((1, 2)) for seed in range(4)], axis=0)

    red, _, blue = absorbed("eosinophil")
    neutrophil = absorbed("neutrophil")
    assert blue / red > 1.3 * neutrophil[2] / neutrophil[0]
    red, green, _ = absorbed("basophil")
    assert red / green > 1.08 * neutrophil[0] / neutrophil[1]


def test_smudges_have_no_sharp_edge() -> None:
    canvas = Canvas(320, 40.0, STYLES["dp73"].stains)
    draw_smudge(canvas, 20.0, 15.0, 7.0, np.random.default_rng(5))
    assert canvas.density[1].max() > 0.3
    steps = np.abs(np.diff(np.asarray(Image.fromarray(canvas.density[1]).reduce(8)), axis=1))
    assert steps.max() < 0.6 * canvas.density[1].max()


def test_chromatin_is_the_same_at_every_pixel_size() -> None:
    wide, narrow = tile("coarse", 0.0875), tile("coarse", 0.175)
    shrunk = np.asarray(Image.fromarray(wide).resize(narrow.shape[::-1], Image.Resampling.BOX))
    assert np.corrcoef(shrunk.ravel(), narrow.ravel())[0, 1] > 0.98


def test_the_package_loads_no_framework() -> None:
    frameworks = ("django", "torch", "celery", "matplotlib")
    code = f"import sys, cases.phantoms; print([name for name in {frameworks} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_contact_sheet_holds_every_label_and_real_fields(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    Image.new("RGB", (80, 60), (10, 200, 30)).save(real / "field.png")
    out = tmp_path / "sheet.png"
    contact_sheet([str(out), "--styles", "dp73", "--tile", "120", "--real", str(real)])
    with Image.open(out) as page:
        assert page.size == (120, 8 * (90 + 14))
        assert page.getpixel((20, 7 * 104 + 20)) == (10, 200, 30)


def test_contact_sheet_without_real_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No image found"):
        contact_sheet([str(tmp_path / "out.png"), "--styles", "dp73", "--tile", "64", "--real", str(tmp_path)])
