"""Plans of phantom cohorts in the paper's proportions, and the files of a plan.

Source: Table 1 of the article (JMAI-24-74): patients and images by class of the training and external validation sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .fields import PhantomField, draw_patient
from .files import blurred, brightness_shifted, encode_jpeg, reencoded
from .styles import STYLES

EXTERNAL_PATIENTS = {"ALL": 7, "AML": 22, "CLL": 3, "CML": 4, "NO_LEUKEMIA": 28}
TRAINING_PATIENTS = {"ALL": 9, "AML": 27, "CLL": 7, "CML": 8, "NO_LEUKEMIA": 27}
TRAINING_IMAGES = {"ALL": 471, "AML": 1149, "CLL": 440, "CML": 404, "NO_LEUKEMIA": 938}
TRAINING_STYLES = ("dp73", "dp73", "dp73", "dp25", "dp74", "dp74_pink")
COHORT_STYLES = ("dp73", "dp73", "dp74", "dp25", "dp74_pink", "dp74_dim")
HELD_OUT_STYLES = ("dp74_dim", "phone", "ccd")
_APML_SHARE = 0.14
_LEAST_IMAGES = 3

PlantedKind = Literal["identical", "reencoded", "brightness_shifted", "blurred", "identity"]
PLANTED_IDENTITY = "Jane Q. Invented, born 1970-01-01"


@dataclass(frozen=True)
class Planted:
    """A defect planted at a 0-based position of a patient's images; duplicates are of the image at `source`."""

    kind: PlantedKind
    position: int
    source: int | None = None


@dataclass(frozen=True)
class PatientPlan:
    """One phantom patient, not drawn yet.

    Attributes:
        diagnosis: ALL, AML, CLL, CML or NO_LEUKEMIA (the reference diagnosis).
        variant: what `draw_patient` is asked for: the diagnosis, or APML for some AML patients.
        n_fields: images on the slide, planted duplicates included.
    """

    code: str
    diagnosis: str
    variant: str
    style: str
    n_fields: int
    seed: int
    planted: tuple[Planted, ...] = ()


@dataclass(frozen=True)
class PhantomFile:
    """One file of a plan: its name, its JPEG bytes, the field drawn and what was planted."""

    name: str
    jpeg: bytes
    field: PhantomField
    planted: PlantedKind | None


def _share_out(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split a total by weights with the largest remainders; every part gets at least one."""
    parts = len(weights)
    share = np.array(list(weights.values()), dtype=float)
    exact = share / share.sum() * (total - parts) if total < share.sum() else share / share.sum() * total
    counts = np.floor(exact).astype(int) + (1 if total < share.sum() else 0)
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return {name: int(count) for name, count in zip(weights, counts, strict=True)}


def _spread(total: int, slides: int, rng: np.random.Generator) -> list[int]:
    """Images per slide: at least three each, the rest unevenly."""
    weights = rng.gamma(1.5, 1.0, slides)
    extra = rng.multinomial(total - _LEAST_IMAGES * slides, weights / weights.sum())
    return [_LEAST_IMAGES + int(count) for count in extra]


def _check(n_patients: int, total_images: int, large_slide: int, styles: tuple[str, ...]) -> None:
    unknown = [style for style in styles if style not in STYLES]
    if unknown or not styles:
        raise ValueError(f"Unknown styles {unknown}: use names of {', '.join(STYLES)}.")
    if n_patients < 5:
        raise ValueError(f"n_patients is {n_patients}: at least 5 are needed, one of each diagnosis.")
    others = n_patients - 1 if large_slide else n_patients
    if total_images - large_slide < _LEAST_IMAGES * others:
        raise ValueError(
            f"total_images is {total_images}: {n_patients} slides with at least {_LEAST_IMAGES} images each"
            f" and one of {large_slide} need {large_slide + _LEAST_IMAGES * others}."
        )
    if large_slide and large_slide < _LEAST_IMAGES:
        raise ValueError(f"large_slide is {large_slide}: use 0 for none, or at least {_LEAST_IMAGES}.")


def _variant(diagnosis: str, number: int, patients: int) -> str:
    """Some AML patients have APML: a fixed share, the first ones of the class."""
    return "APML" if diagnosis == "AML" and number < round(_APML_SHARE * patients) else diagnosis


def cohort_plan(
    seed: int,
    *,
    n_patients: int = 64,
    total_images: int = 450,
    large_slide: int = 150,
    styles: tuple[str, ...] = COHORT_STYLES,
) -> tuple[PatientPlan, ...]:
    """Plan an external-validation-like cohort: patients by class as in Table 1, shuffled, codes PHANTOM-001 and on.

    One AML slide has `large_slide` images (0: none), all others at least 3; the images sum to `total_images`.
    Planted: an identical, a re-encoded and a brightness-shifted duplicate, two blurred fields, one hidden identity.

    Raises:
        ValueError: fewer than 5 patients, too few images for them, unknown style.
    """
    _check(n_patients, total_images, large_slide, styles)
    rng = np.random.default_rng([seed, 101])
    counts = _share_out(n_patients, EXTERNAL_PATIENTS)
    wanted = [(d, _variant(d, number, count)) for d, count in counts.items() for number in range(count)]
    sizes = _spread(total_images - large_slide, n_patients - bool(large_slide), rng)
    if large_slide:
        sizes.insert([diagnosis for diagnosis, _ in wanted].index("AML") + counts["AML"] - 1, large_slide)
    seeds = rng.integers(0, 2**31, n_patients)
    plans = []
    for place, index in enumerate(rng.permutation(n_patients)):
        diagnosis, variant = wanted[index]
        style = styles[int(rng.integers(len(styles)))]
        code = f"PHANTOM-{place + 1:03d}"
        plans.append(PatientPlan(code, diagnosis, variant, style, sizes[index], int(seeds[index])))
    return _plant(plans)


def _plant(plans: list[PatientPlan]) -> tuple[PatientPlan, ...]:
    """Give the patients with most images a defect each, so that small slides keep their few good fields."""
    kinds: tuple[PlantedKind, ...] = (
        "identical",
        "reencoded",
        "brightness_shifted",
        "blurred",
        "identity",
        "blurred",
    )
    largest = sorted(range(len(plans)), key=lambda index: -plans[index].n_fields)[: len(kinds)]
    done = list(plans)
    for kind, index in zip(kinds, largest, strict=False):
        plan = plans[index]
        last = plan.n_fields - 1
        source = 0 if kind in ("identical", "reencoded", "brightness_shifted") else None
        done[index] = PatientPlan(
            plan.code,
            plan.diagnosis,
            plan.variant,
            plan.style,
            plan.n_fields,
            plan.seed,
            (Planted(kind, last, source),),
        )
    return tuple(done)


def development_plan(
    seed: int, *, n_patients: int = 78, total_images: int = 3402, styles: tuple[str, ...] = TRAINING_STYLES
) -> tuple[PatientPlan, ...]:
    """Plan a training cohort: patients and images by class as in Table 1's training row, codes PHANTOM-D001 and on.

    Its seeds never meet those of `cohort_plan`. Nothing is planted.

    Raises:
        ValueError: fewer than 5 patients, too few images for them, unknown style.
    """
    _check(n_patients, total_images, 0, styles)
    rng = np.random.default_rng([seed, 202])
    counts = _share_out(n_patients, TRAINING_PATIENTS)
    spare = _share_out(total_images - _LEAST_IMAGES * n_patients + len(counts), TRAINING_IMAGES)
    wanted: list[tuple[str, str, int]] = []
    for diagnosis, count in counts.items():
        sizes = _spread(_LEAST_IMAGES * count + spare[diagnosis] - 1, count, rng)
        wanted += [(diagnosis, _variant(diagnosis, number, count), size) for number, size in enumerate(sizes)]
    seeds = rng.integers(2**31, 2**32, n_patients)
    plans = []
    for place, index in enumerate(rng.permutation(n_patients)):
        diagnosis, variant, size = wanted[index]
        style = styles[int(rng.integers(len(styles)))]
        plans.append(PatientPlan(f"PHANTOM-D{place + 1:03d}", diagnosis, variant, style, size, int(seeds[index])))
    return tuple(plans)


def draw_plan(plan: PatientPlan, *, width_px: int | None = None, quality: int = 90) -> Iterator[PhantomFile]:
    """Draw a planned patient as JPEG files in capture order, with what the plan plants.

    Args:
        width_px: pixels across; None is what the style's camera delivers.
    """
    width_px = STYLES[plan.style].width_px if width_px is None else width_px
    planted = {item.position: item for item in plan.planted}
    kept: dict[int, tuple[PhantomField, bytes]] = {}
    sources = {item.source for item in plan.planted if item.source is not None}
    fields = draw_patient(plan.variant, seed=plan.seed, style=plan.style, n_fields=plan.n_fields, width_px=width_px)
    for position, field in enumerate(fields):
        item = planted.get(position)
        if item is None:
            jpeg = encode_jpeg(field, quality=quality)
        else:
            field, jpeg = _planted(item, field, kept, quality)
        if position in sources:
            kept[position] = field, jpeg
        yield PhantomFile(f"{plan.code}_{position + 1:04d}.jpg", jpeg, field, item.kind if item else None)


def _planted(
    item: Planted, field: PhantomField, kept: dict[int, tuple[PhantomField, bytes]], quality: int
) -> tuple[PhantomField, bytes]:
    if item.kind == "blurred":
        field = blurred(field)
        return field, encode_jpeg(field, quality=quality)
    if item.kind == "identity":
        return field, encode_jpeg(field, quality=quality, planted_identity=PLANTED_IDENTITY)
    if item.source is None or item.source not in kept:
        raise ValueError(f"A planted duplicate at position {item.position} needs an earlier source, not {item.source}.")
    field, jpeg = kept[item.source]
    if item.kind == "identical":
        return field, jpeg
    if item.kind == "reencoded":
        return field, reencoded(jpeg, quality=70)
    field = brightness_shifted(field)
    return field, encode_jpeg(field, quality=quality)
