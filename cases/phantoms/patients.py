"""What stays the same over one patient's slide: red cells, platelets, staining, which cells circulate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LABELS = ("AML", "ALL", "APML", "CML", "CLL", "REACTIVE", "NO_LEUKEMIA")
DIAGNOSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


@dataclass(frozen=True)
class Traits:
    """One patient's slide. Lengths in micrometres, rates per field of 140 x 105 micrometres."""

    red_cells: float
    red_radius: float
    red_variation: float
    haemoglobin: float
    pallor: float
    rouleaux: float
    crenated: float
    ovals: float
    platelets: float
    smudges: float
    burden: float  # how many leukemic cells circulate, relative
    monocytic: float  # share of an AML patient's blasts that are monoblasts
    precipitate: float
    cell_scale: float
    red_wobble: float
    red_rim: float
    red_lift: float
    sharp_pallor: bool
    squeeze: float  # share by which red cells on top of each other get thinner
    stain_gain: tuple[tuple[float, float, float], ...]  # per stain in the order of `styles.Stain`, per channel
    plasma: float
    defocus_um: float


def _staining(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """How strongly this slide took up each stain, and with what tint."""
    strength = rng.normal(1.0, 0.06) * rng.lognormal(0, (0.08, 0.07, 0.12, 0.15, 0.2, 0.1, 0.1))
    tint = rng.normal(1.0, 0.05, (7, 3))
    return tuple(tuple(float(v) for v in row) for row in np.clip(strength[:, None] * tint, 0.65, 1.5))  # type: ignore[misc]


def draw_traits(label: str, rng: np.random.Generator) -> Traits:
    """Traits of a patient with a label's disease. Ranges overlap widely: no single trait gives the label away."""
    leukemic = label not in ("NO_LEUKEMIA", "REACTIVE")
    acute = label in ("AML", "ALL", "APML")
    anaemia = rng.beta(2.2, 2.2) if leukemic else rng.beta(1.3, 3.0)
    platelets = rng.gamma(2.0, 1.6) if acute else rng.gamma(4.0, 2.2)
    if label == "CML":
        platelets *= 1.6
    return Traits(
        red_cells=float(rng.uniform(120, 190) * (1 - 0.45 * anaemia)),
        red_radius=float(rng.normal(3.75, 0.14)),
        red_variation=float(rng.uniform(0.04, 0.08) + 0.05 * anaemia),
        haemoglobin=float(rng.normal(1.0, 0.07) * (1 - 0.15 * anaemia)),
        pallor=float(np.clip(rng.normal(0.5, 0.14) + 0.12 * anaemia, 0.15, 0.9)),
        rouleaux=float(np.clip(rng.beta(1.2, 4.0), 0, 0.6)),
        crenated=float(0.5 * rng.random() if rng.random() < 0.08 else 0.01 * rng.random()),
        ovals=float(rng.uniform(0.03, 0.10) + 0.08 * anaemia),
        platelets=float(platelets),
        smudges=float({"CLL": rng.gamma(2.5, 0.5), "ALL": 0.25, "AML": 0.2, "APML": 0.2}.get(label, 0.06)),
        burden=float(rng.lognormal(0, 0.35)),
        monocytic=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.25 else 0.0,
        precipitate=float(rng.gamma(0.6, 0.8)),
        cell_scale=float(rng.normal(1.0, 0.05)),
        red_wobble=float(rng.uniform(0.015, 0.045)),
        red_lift=float(rng.normal(0, 0.35)),
        red_rim=float(rng.uniform(0.10, 0.32)),
        sharp_pallor=bool(rng.random() < 0.4),
        squeeze=float(rng.uniform(0.45, 0.95)),
        stain_gain=_staining(rng),
        plasma=float(abs(rng.normal(0, 0.035))),
        defocus_um=float(0.03 + abs(rng.normal(0, 0.05))),
    )


_NORMAL = {
    "neutrophil": 0.58,
    "lymphocyte": 0.28,
    "monocyte": 0.07,
    "eosinophil": 0.035,
    "band": 0.025,
    "basophil": 0.01,
}


class _Mix(NamedTuple):
    """A label's own cells: how many in a field (gamma distributed, at least `least`), the first and the others' kinds,
    and the mean number of normal cells beside them."""

    shape: float
    scale: float
    least: int
    first: str
    kinds: dict[str, float]
    normal: float


_OWN = {
    "AML": _Mix(2.2, 1.5, 1, "myeloblast", {"myeloblast": 0.93, "myelocyte": 0.04, "erythroblast": 0.03}, 0.6),
    "ALL": _Mix(2.4, 1.7, 1, "lymphoblast", {"lymphoblast": 0.98, "erythroblast": 0.02}, 0.6),
    "APML": _Mix(2.0, 1.2, 1, "abnormal_promyelocyte", {"abnormal_promyelocyte": 0.93, "myeloblast": 0.07}, 0.4),
    "CML": _Mix(
        3.5, 1.6, 3, "myelocyte",
        {"neutrophil": 0.30, "band": 0.15, "metamyelocyte": 0.16, "myelocyte": 0.21, "basophil": 0.08,
         "eosinophil": 0.04, "myeloblast": 0.04, "erythroblast": 0.02},
        0.3,
    ),
    "CLL": _Mix(3.2, 1.6, 2, "cll_lymphocyte", {"cll_lymphocyte": 0.94, "prolymphocyte": 0.06}, 0.35),
    "REACTIVE": _Mix(1.6, 0.8, 1, "reactive_lymphocyte", {"reactive_lymphocyte": 1.0}, 0.9),
}  # fmt: skip


def _pick(weights: dict[str, float], rng: np.random.Generator) -> str:
    kinds = tuple(weights)
    share = np.array([weights[kind] for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=share / share.sum()))]


def draw_kinds(label: str, traits: Traits, rng: np.random.Generator) -> list[str]:
    """The nucleated cells of a field with this label, the telling ones first."""
    if label == "NO_LEUKEMIA":
        return [_pick(_NORMAL, rng) for _ in range(1 + min(4, int(rng.poisson(0.8))))]
    mix = _OWN[label]
    count = int(np.clip(round(traits.burden * rng.gamma(mix.shape, mix.scale)), mix.least, 14))
    cells = [mix.first] + [_pick(mix.kinds, rng) for _ in range(count - 1)]
    if label == "AML":
        cells = ["monoblast" if kind == "myeloblast" and rng.random() < traits.monocytic else kind for kind in cells]
    return cells + [_pick(_NORMAL, rng) for _ in range(int(rng.poisson(mix.normal)))]
