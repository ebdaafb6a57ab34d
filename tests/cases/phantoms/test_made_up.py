"""Made-up cameras: seeded, different from each other and from the named ones, and good to draw with."""

from __future__ import annotations

import numpy as np

from cases.phantoms import STYLES, draw_field, draw_patient, made_up_style
from cases.phantoms.styles import Stain


def test_the_seed_fixes_the_style() -> None:
    first, again, other = made_up_style(4), made_up_style(4), made_up_style(5)
    assert first.name == again.name == "made_up_4"
    assert np.array_equal(first.stains, again.stains)
    assert (first.background, first.blur_um) == (again.background, again.blur_um)
    assert not np.array_equal(first.stains, other.stains)


def test_the_named_styles_lie_inside_the_ranges_and_are_not_repeated() -> None:
    made = [made_up_style(seed) for seed in range(400)]
    for style in STYLES.values():
        for name in ("tilt", "blur_um", "fringe_um", "gamma"):
            values = [getattr(one, name) for one in made]
            assert min(values) - 0.01 <= getattr(style, name) <= max(values) + 0.01, (style.name, name)
        red_cells = np.array([one.stains[Stain.RED_CELL] for one in made])
        assert np.abs(red_cells - style.stains[Stain.RED_CELL]).sum(1).min() > 0.005


def test_fields_can_be_drawn_with_it() -> None:
    style = made_up_style(9)
    field = draw_field("AML", seed=3, style=style, width_px=200)
    assert field.style == "made_up_9"
    named = draw_field("AML", seed=3, style="dp73", width_px=200)
    assert field.cells == named.cells, "the same cells, another look"
    assert not np.array_equal(np.asarray(field.image), np.asarray(named.image))
    fields = list(draw_patient("CLL", seed=2, style=style, n_fields=2, width_px=200))
    assert {one.style for one in fields} == {"made_up_9"}
