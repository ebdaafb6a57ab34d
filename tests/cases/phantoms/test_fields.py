from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from cases.phantoms import LABELS, STYLES, draw_field, draw_patient, patient_labels

SMALL = 320
_OWN = {
    "AML": {"myeloblast", "monoblast"},
    "ALL": {"lymphoblast"},
    "APML": {"abnormal_promyelocyte"},
    "CML": {"myelocyte"},
    "CLL": {"cll_lymphocyte"},
    "REACTIVE": {"reactive_lymphocyte"},
}


def _digest(label: str, seed: int, style: str = "dp73") -> str:
    return hashlib.sha256(draw_field(label, seed=seed, style=style, width_px=SMALL).image.tobytes()).hexdigest()


def test_same_seed_gives_same_pixels_also_in_a_fresh_process() -> None:
    code = (
        "import hashlib; from cases.phantoms import draw_field;"
        f"print(hashlib.sha256(draw_field('CML', seed=5, width_px={SMALL}).image.tobytes()).hexdigest())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    _digest("AML", 1)  # drawing another field between must not matter
    assert _digest("CML", 5) == fresh
    assert _digest("CML", 6) != fresh


@pytest.mark.parametrize("label", LABELS)
def test_field_has_the_size_and_the_cells_of_its_label(label: str) -> None:
    for seed in range(6):
        field = draw_field(label, seed=seed, width_px=SMALL)
        assert field.image.size == (SMALL, SMALL * 3 // 4)
        assert field.image.mode == "RGB"
        kinds = {cell.kind for cell in field.cells}
        if label == "NO_LEUKEMIA":
            assert not set().union(*_OWN.values()) & kinds
        else:
            assert _OWN[label] & kinds
        assert all(0 <= cell.x <= SMALL and 0 <= cell.y <= SMALL * 3 // 4 and cell.r > 0 for cell in field.cells)


def test_styles_share_the_scene_but_not_the_colours() -> None:
    fields = [draw_field("AML", seed=3, style=style, width_px=SMALL) for style in STYLES]
    assert len({field.cells for field in fields}) == 1
    means = {tuple(np.asarray(field.image).mean((0, 1)).round(0)) for field in fields}
    assert len(means) == len(STYLES)


def test_a_narrow_field_is_a_smaller_view_of_the_same_field() -> None:
    wide = draw_field("CML", seed=9, width_px=1280)
    narrow = draw_field("CML", seed=9, width_px=SMALL)
    assert [cell.kind for cell in wide.cells] == [cell.kind for cell in narrow.cells]
    for one, other in zip(wide.cells, narrow.cells, strict=True):
        assert one.x / 4 == pytest.approx(other.x, abs=0.2)
    shrunk = np.asarray(wide.image.reduce(4), dtype=float)
    difference = np.abs(shrunk - np.asarray(narrow.image, dtype=float)).mean()
    other_field = np.asarray(draw_field("CML", seed=10, width_px=SMALL).image, dtype=float)
    assert difference < 0.4 * np.abs(shrunk - other_field).mean()


def test_nuclei_are_purple_and_glass_is_bright() -> None:
    field = draw_field("AML", seed=2, width_px=640)
    pixels = np.asarray(field.image, dtype=float)
    blast = next(cell for cell in field.cells if cell.kind in _OWN["AML"])
    reach = int(blast.r * 0.4)
    x, y = int(blast.x), int(blast.y)
    red, green, blue = pixels[y - reach : y + reach, x - reach : x + reach].mean((0, 1))
    assert blue > red > green
    assert 50 < red < 150
    assert np.percentile(pixels, 90) > 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": "LEUKAEMIA"}, "LEUKAEMIA"),
        ({"label": "AML", "style": "dp99"}, "dp99"),
        ({"label": "AML", "width_px": 10}, "10"),
        ({"label": "AML", "seed": -1}, "-1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], words: str) -> None:
    options: dict[str, object] = {"seed": 1, **arguments}
    with pytest.raises(ValueError, match=words):
        draw_field(str(options.pop("label")), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("diagnosis", ["ALL", "AML", "APML", "CLL", "CML"])
def test_leukemia_patients_have_fields_with_and_without_leukemic_cells(diagnosis: str) -> None:
    labels = [patient_labels(diagnosis, seed=seed, n_fields=12) for seed in range(12)]
    assert all(diagnosis in row for row in labels)
    assert any("NO_LEUKEMIA" in row for row in labels)
    assert {label for row in labels for label in row} == {diagnosis, "NO_LEUKEMIA"}


def test_patients_without_leukemia_are_mostly_normal() -> None:
    labels = [label for seed in range(60) for label in patient_labels("NO_LEUKEMIA", seed=seed, n_fields=10)]
    assert set(labels) == {"NO_LEUKEMIA", "REACTIVE"}
    assert 0.02 < labels.count("REACTIVE") / len(labels) < 0.3


def test_draw_patient_follows_its_labels_and_never_repeats_a_field() -> None:
    fields = list(draw_patient("CLL", seed=4, n_fields=5, width_px=160))
    assert tuple(field.label for field in fields) == patient_labels("CLL", seed=4, n_fields=5)
    assert len({field.image.tobytes() for field in fields}) == 5
    assert {field.diagnosis for field in fields} == {"CLL"}
