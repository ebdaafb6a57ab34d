"""Draw whole fields: of a label, and of a patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .camera import photograph
from .patients import DIAGNOSES, LABELS, Traits, draw_kinds, draw_traits
from .scene import FIELD_UM, compose, paint
from .shapes import Canvas
from .styles import STYLES, Style

VERSION = 1  # raised whenever the same seed gives other pixels

_LEUKEMIC_FIELDS = (0.65, 0.97)  # share of a leukemia patient's fields that show leukemic cells


@dataclass(frozen=True)
class Cell:
    """A nucleated cell of a field: kind (a name of `recipes.RECIPES` or "smudge_cell"), centre and radius in pixels."""

    kind: str
    x: float
    y: float
    r: float


@dataclass(frozen=True)
class PhantomField:
    """A drawn field: an RGB image with the label, the cells and the seed it was drawn from.

    `diagnosis` is set on fields of `draw_patient` only.
    """

    image: Image.Image
    label: str
    cells: tuple[Cell, ...]
    seed: int
    style: str
    diagnosis: str | None = None

    @property
    def pixel_size_um(self) -> float:
        """Micrometres on the slide per pixel."""
        return FIELD_UM[0] / self.image.width


def _require(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise ValueError(f"Unknown {what} {value!r}: use one of {', '.join(allowed)}.")


def _style(style: str | Style) -> Style:
    if isinstance(style, Style):
        return style
    _require(style, tuple(STYLES), "style")
    return STYLES[style]


def _draw(label: str, traits: Traits, seed: int, style: Style, width_px: int, diagnosis: str | None) -> PhantomField:
    if not 64 <= width_px <= 6400:
        raise ValueError(f"width_px is {width_px}: it must lie between 64 and 6400.")
    kinds = draw_kinds(label, traits, np.random.default_rng([seed, 0]))
    scene = compose(kinds, traits, seed, smudges=traits.smudges * (0.2 if label == "NO_LEUKEMIA" else 1.0))
    canvas = Canvas(width_px, FIELD_UM[0], style.stains)
    paint(canvas, scene, softness_um=0.30)
    camera = np.random.default_rng([seed, 4])
    defocus = traits.defocus_um * float(camera.lognormal(0, 0.4))
    cells = tuple(
        Cell(white.kind, *(round(v / canvas.um_per_px, 1) for v in (white.x, white.y, white.radius)))
        for white in scene.whites
    )
    image = photograph(canvas, style, defocus_um=defocus, rng=camera)
    return PhantomField(image, label, cells, seed, style.name, diagnosis)


def draw_field(label: str, *, seed: int, style: str | Style = "dp73", width_px: int = 1600) -> PhantomField:
    """Draw one 1,000x field of a label.

    Args:
        label: one of `LABELS`.
        seed: 0 or larger. The same seed gives the same cells in every style and at every width.
        style: a name of `STYLES`, or a style such as `made_up_style` gives.
        width_px: 64 to 6400; the height is three quarters of it. The field is 140 x 105 micrometres.

    Raises:
        ValueError: unknown label or style, width or seed out of range.
    """
    _require(label, LABELS, "label")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must be 0 or larger.")
    return _draw(label, draw_traits(label, np.random.default_rng([seed, 5])), seed, _style(style), width_px, None)


def patient_labels(diagnosis: str, *, seed: int, n_fields: int) -> tuple[str, ...]:
    """Labels of a patient's fields in capture order, without drawing them.

    A leukemia patient has fields without leukemic cells (labelled NO_LEUKEMIA), but at least one with them;
    a patient without leukemia has mostly NO_LEUKEMIA fields and some patients a few REACTIVE ones.
    """
    _require(diagnosis, (*DIAGNOSES, "APML"), "diagnosis")
    if n_fields < 1 or seed < 0:
        raise ValueError(
            f"n_fields is {n_fields} and seed {seed}: at least one field and a seed of 0 or larger are needed."
        )
    rng = np.random.default_rng([seed, 6])
    if diagnosis == "NO_LEUKEMIA":
        share, own = (float(rng.uniform(0.1, 0.4)) if rng.random() < 0.3 else 0.0), "REACTIVE"
    else:
        share, own = float(rng.uniform(*_LEUKEMIC_FIELDS)), diagnosis
    shown = rng.random(n_fields) < share
    if own == diagnosis and not shown.any():
        shown[int(rng.integers(n_fields))] = True
    return tuple(own if is_shown else "NO_LEUKEMIA" for is_shown in shown)


def draw_patient(
    diagnosis: str, *, seed: int, style: str | Style = "dp73", n_fields: int = 10, width_px: int = 1600
) -> Iterator[PhantomField]:
    """Draw a patient's fields in capture order: one staining, one set of red cells, one camera.

    Args:
        diagnosis: one of ALL, AML, CLL, CML, NO_LEUKEMIA, or APML (a variant of AML).

    Raises:
        ValueError: as `draw_field`, on the first field asked for.
    """
    look = _style(style)
    labels = patient_labels(diagnosis, seed=seed, n_fields=n_fields)
    traits = draw_traits(diagnosis, np.random.default_rng([seed, 5]))
    seeds = np.random.SeedSequence(seed).generate_state(n_fields, dtype=np.uint64) >> np.uint64(2)
    for label, field_seed in zip(labels, seeds, strict=True):
        yield _draw(label, traits, int(field_seed), look, width_px, diagnosis)
