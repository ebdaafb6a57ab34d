"""Made-up cameras and stainings: what a training should see so that it learns cells and not one laboratory's colours.

The ranges are wide: red cells from pink to slate blue, lamps from warm to cold, optics from crisp to worn. None of the
named styles is repeated, but each lies inside the ranges, so a named style that was held out tests another camera, not
another kind of microscopy.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from .styles import MAY_GRUENWALD_GIEMSA, Stain, Style


def made_up_style(seed: int) -> Style:
    """A camera and a staining drawn from `seed` (0 or larger); the same seed gives the same style."""
    rng = np.random.default_rng([seed, 7])
    gain = rng.lognormal(0, 0.06, 3) * rng.uniform(0.85, 1.12)
    stains = (MAY_GRUENWALD_GIEMSA * gain).astype(np.float32)
    stains[Stain.RED_CELL] = np.exp(rng.uniform(np.log((0.09, 0.27, 0.18)), np.log((0.62, 0.74, 0.42))))
    stains.setflags(write=False)
    background = np.clip(rng.uniform(190, 234) + rng.normal(0, 6, 3), 170, 245)
    vignette = np.clip(np.exp(rng.uniform(np.log(0.03), np.log(0.4))) + rng.normal(0, 0.03, 3), 0.01, 0.5)
    luminance = float(rng.uniform(1.4, 4.5))
    return Style(
        name=f"made_up_{seed}",
        stains=stains,
        background=_three(background),
        vignette=_three(vignette),
        tilt=float(rng.uniform(0.01, 0.11)),
        blur_um=float(rng.uniform(0.05, 0.18)),
        fringe_um=float(rng.uniform(0.02, 0.13)),
        gamma=float(rng.uniform(0.92, 1.2)),
        noise=(luminance, luminance * float(rng.uniform(0.5, 0.8))),
        width_px=1600,
        device=MappingProxyType({"camera": "made up", "stain": "May-Grünwald-Giemsa", "magnification": "1000x"}),
    )


def _three(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
