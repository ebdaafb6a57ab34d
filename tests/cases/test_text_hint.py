"""Burnt-in text: found where it is planted, not found where there is none. Needs the extra [deid]."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cases import text_hint


def test_without_the_extra_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_hint, "find_spec", lambda name: None)
    assert not text_hint.available()
    assert text_hint.find_text(Image.new("RGB", (200, 100))) is None


def smear() -> Image.Image:
    """A drawn field of red cells and one patient's white cells."""
    from cases.phantoms import cohort_plan, draw_plan

    plan = next(p for p in cohort_plan(7) if p.diagnosis == "AML")
    from io import BytesIO

    return Image.open(BytesIO(next(iter(draw_plan(plan))).jpeg)).convert("RGB")


@pytest.mark.deid
@pytest.mark.parametrize(("ink", "at"), [((0, 0, 0), "top"), ((255, 255, 255), "bottom"), ((160, 20, 20), "top")])
def test_planted_text_is_found_where_it_stands(ink: tuple[int, int, int], at: str) -> None:
    pytest.importorskip("rapidocr", reason="the extra [deid] is not installed")
    field = smear()
    y = 30 if at == "top" else field.height - 70
    ImageDraw.Draw(field).text((60, y), "DOE JANE MRN 900017", fill=ink, font=ImageFont.load_default(28))
    boxes = text_hint.find_text(field)
    assert boxes is not None
    assert len(boxes) == 1
    box = boxes[0]
    assert set(box) == {"x", "y", "width", "height", "score"}
    centre = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    assert 60 < centre[0] < 60 + 400
    assert abs(centre[1] - (y + 18)) < 20


@pytest.mark.deid
def test_cells_are_no_text() -> None:
    pytest.importorskip("rapidocr", reason="the extra [deid] is not installed")
    assert text_hint.find_text(smear()) == []
