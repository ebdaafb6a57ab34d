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
    device: Mapping[str, str]


# May-Grünwald-Giemsa as a DP73 with a daylight filter shows it.
_MGG = np.array(
    [
        [0.13, 0.36, 0.27],
        [0.84, 1.34, 0.50],
        [0.44, 0.34, 0.12],
        [0.09, 0.30, 0.13],
        [0.42, 1.25, 0.40],
        [0.12, 0.66, 0.72],
        [1.10, 1.45, 0.62],
    ],
    dtype=np.float32,
)


def _stains(
    red_cell: tuple[float, float, float], gain: tuple[float, float, float], depth: float
) -> NDArray[np.float32]:
    table = _MGG * np.asarray(gain, dtype=np.float32) * np.float32(depth)
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
        "dp73",
        _stains((0.13, 0.36, 0.27), (1.0, 1.0, 1.0), 1.0),
        (228, 225, 226),
        (0.06, 0.06, 0.07),
        0.03,
        0.07,
        0.04,
        1.0,
        (2.2, 1.2),
        _device("Olympus DP73", "Olympus BX53", "halogen, daylight filter", "auto"),
    ),
    Style(
        "dp25",
        _stains((0.16, 0.34, 0.33), (0.95, 0.95, 1.12), 0.92),
        (226, 219, 203),
        (0.11, 0.12, 0.14),
        0.05,
        0.11,
        0.07,
        1.1,
        (3.2, 2.2),
        _device("Olympus DP25", "Olympus BX53", "halogen", "preset 3200 K"),
    ),
    Style(
        "dp74",
        _stains((0.19, 0.38, 0.22), (1.06, 1.02, 0.92), 1.08),
        (220, 227, 232),
        (0.04, 0.04, 0.04),
        0.02,
        0.06,
        0.03,
        0.95,
        (1.6, 0.9),
        _device("Olympus DP74", "Olympus BX53", "LED", "auto"),
    ),
    Style(
        "dp74_dim",
        _stains((0.42, 0.36, 0.20), (1.1, 0.98, 0.86), 1.05),
        (182, 186, 176),
        (0.10, 0.09, 0.10),
        0.06,
        0.08,
        0.05,
        1.0,
        (3.0, 1.6),
        _device("Olympus DP74", "Olympus BX53", "LED, dimmed", "manual"),
    ),
    Style(
        "phone",
        _stains((0.10, 0.33, 0.36), (0.95, 1.0, 0.95), 0.95),
        (231, 218, 214),
        (0.32, 0.38, 0.36),
        0.10,
        0.14,
        0.12,
        1.05,
        (3.6, 2.8),
        _device("Phone on eyepiece adapter", "Olympus CX23", "LED", "auto"),
    ),
    Style(
        "ccd",
        _stains((0.22, 0.44, 0.26), (0.92, 0.96, 0.92), 0.96),
        (206, 210, 204),
        (0.13, 0.15, 0.12),
        0.08,
        0.13,
        0.09,
        1.15,
        (4.2, 2.6),
        _device("CCD camera, 1.4 MP", "Olympus BX41", "halogen", "manual"),
    ),
)

STYLES: Mapping[str, Style] = MappingProxyType({style.name: style for style in _ALL})
