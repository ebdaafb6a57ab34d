"""Camera and stain styles: how one and the same scene looks through another microscope.

A style holds the absorbance of every stain (natural-log optical density per unit of concentration, in R, G, B),
the lamp, the optics, the sensor, and what a CaptureDevice record would say about them. The devices are
those the paper names (Olympus DP73, DP25, DP74 on a BX53), a phone on an eyepiece and a worn CCD camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray


class Stain(IntEnum):
    """Rows of a style's stain table."""

    RED_CELL = 0  # haemoglobin with eosin
    CHROMATIN = 1  # azure B and eosin on DNA: Romanowsky purple
    BLUE = 2  # azure on RNA: basophilic cytoplasm
    PINK = 3  # eosin: mature cytoplasm, neutrophil granules
    AZURE = 4  # magenta: azurophil granules, Auer rods, platelet granules
    ORANGE = 5  # eosinophil granules
    DARK = 6  # basophil granules, stain precipitate


@dataclass(frozen=True)
class Style:
    """One look. Lengths in micrometres on the slide; noise in grey levels of 255.

    Attributes:
        stains: absorbance per unit concentration, shape (7, 3), rows as in `Stain`, columns R, G, B.
        background: colour of clear glass, 0-255.
        vignette: fall-off (natural log) in the corners, per channel.
        tilt: side-to-side unevenness of the lamp (natural log from one edge to the other).
        blur_um: standard deviation of the optics' blur.
        fringe_um: lateral colour: how far red and blue lie from green.
        gamma: the camera's tone curve; above 1 is flatter.
        width_px: what the camera delivers (4:3); most of the paper's images have 1,600 x 1,200.
        noise: standard deviations (brightness, colour).
        device: fields of a CaptureDevice record.
    """

    name: str
    stains: NDArray[np.float32]
    background: tuple[float, float, float]
    vignette: tuple[float, float, float]
    tilt: float
    blur_um: float
    fringe_um: float
    gamma: float
    noise: tuple[float, float]
    width_px: int
    device: Mapping[str, str]


# May-Grünwald-Giemsa as a DP73 with a daylight filter shows it.
MAY_GRUENWALD_GIEMSA = np.array(
    [
        [0.14, 0.31, 0.25],
        [0.82, 1.34, 0.46],
        [0.46, 0.43, 0.16],
        [0.09, 0.30, 0.13],
        [0.42, 1.25, 0.40],
        [0.10, 0.52, 0.74],
        [0.98, 1.45, 0.52],
    ],
    dtype=np.float32,
)


def _stains(
    red_cell: tuple[float, float, float], gain: tuple[float, float, float], depth: float
) -> NDArray[np.float32]:
    table = MAY_GRUENWALD_GIEMSA * np.asarray(gain, dtype=np.float32) * np.float32(depth)
    table[Stain.RED_CELL] = red_cell
    table.setflags(write=False)
    return table


def _device(camera: str, microscope: str, light: str, white_balance: str) -> Mapping[str, str]:
    return MappingProxyType(
        {
            "camera": camera,
            "microscope": microscope,
            "objective": "100x oil immersion",
            "magnification": "1000x",
            "stain": "May-Grünwald-Giemsa",
            "slide_maker": "automated",
            "light": light,
            "white_balance": white_balance,
        }
    )


_ALL = (
    Style(
        name="dp73",
        stains=_stains((0.14, 0.31, 0.25), (1.0, 1.0, 1.0), 1.0),
        background=(230, 227, 227),
        vignette=(0.06, 0.06, 0.07),
        tilt=0.03,
        blur_um=0.07,
        fringe_um=0.04,
        gamma=1.0,
        noise=(2.2, 1.2),
        width_px=1600,
        device=_device("Olympus DP73", "Olympus BX53", "halogen, daylight filter", "auto"),
    ),
    Style(
        name="dp25",
        stains=_stains((0.14, 0.33, 0.36), (0.95, 0.95, 1.10), 0.95),
        background=(229, 223, 208),
        vignette=(0.11, 0.12, 0.14),
        tilt=0.05,
        blur_um=0.11,
        fringe_um=0.07,
        gamma=1.08,
        noise=(3.2, 2.2),
        width_px=1280,
        device=_device("Olympus DP25", "Olympus BX53", "halogen", "preset 3200 K"),
    ),
    Style(
        name="dp74",
        stains=_stains((0.24, 0.36, 0.21), (1.06, 1.02, 0.92), 1.08),
        background=(222, 228, 231),
        vignette=(0.04, 0.04, 0.04),
        tilt=0.02,
        blur_um=0.06,
        fringe_um=0.05,
        gamma=0.95,
        noise=(1.6, 0.9),
        width_px=1600,
        device=_device("Olympus DP74", "Olympus BX53", "LED", "auto"),
    ),
    Style(
        name="dp74_pink",
        stains=_stains((0.30, 0.70, 0.34), (0.94, 1.10, 0.92), 1.0),
        background=(211, 209, 208),
        vignette=(0.05, 0.06, 0.06),
        tilt=0.03,
        blur_um=0.07,
        fringe_um=0.05,
        gamma=1.0,
        noise=(2.4, 1.4),
        width_px=1600,
        device=_device("Olympus DP74", "Olympus BX53", "LED, new technician", "auto"),
    ),
    Style(
        name="dp74_dim",
        stains=_stains((0.58, 0.46, 0.22), (1.12, 0.98, 0.84), 1.08),
        background=(196, 197, 184),
        vignette=(0.10, 0.09, 0.10),
        tilt=0.06,
        blur_um=0.07,
        fringe_um=0.08,
        gamma=1.0,
        noise=(3.0, 1.6),
        width_px=1200,
        device=_device("Olympus DP74", "Olympus BX53", "LED, dimmed", "manual"),
    ),
    Style(
        name="phone",
        stains=_stains((0.10, 0.30, 0.36), (0.95, 1.0, 0.95), 0.92),
        background=(232, 219, 215),
        vignette=(0.28, 0.40, 0.36),
        tilt=0.10,
        blur_um=0.15,
        fringe_um=0.12,
        gamma=1.05,
        noise=(3.6, 2.8),
        width_px=2048,
        device=_device("Phone on eyepiece adapter", "Olympus CX23", "LED", "auto"),
    ),
    Style(
        name="ccd",
        stains=_stains((0.26, 0.42, 0.26), (0.92, 0.96, 0.92), 0.96),
        background=(204, 209, 203),
        vignette=(0.13, 0.15, 0.12),
        tilt=0.08,
        blur_um=0.14,
        fringe_um=0.09,
        gamma=1.15,
        noise=(4.2, 2.6),
        width_px=1360,
        device=_device("CCD camera, 1.4 MP", "Olympus BX41", "halogen", "manual"),
    ),
)

STYLES: Mapping[str, Style] = MappingProxyType({style.name: style for style in _ALL})
