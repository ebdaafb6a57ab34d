"""Phantoms: seeded synthetic 1,000x fields of May-Grünwald-Giemsa stained blood smears, for demo, tests and training.

They are drawn, not photographed: no picture of a patient went into them, and every file says PHANTOM. Pure numpy, scipy
and Pillow. See docs/phantoms.md.
"""

from __future__ import annotations

from .cohorts import (
    HELD_OUT_STYLES,
    PLANTED_IDENTITY,
    TRAINING_STYLES,
    PatientPlan,
    PhantomFile,
    Planted,
    cohort_plan,
    development_plan,
    draw_plan,
)
from .fields import VERSION, Cell, PhantomField, draw_field, draw_patient, patient_labels
from .files import PHANTOM_NOTICE, blurred, brightness_shifted, encode_jpeg, reencoded
from .made_up import made_up_style
from .patients import DIAGNOSES, LABELS
from .scene import FIELD_UM
from .styles import STYLES, Style

__all__ = [
    "DIAGNOSES", "FIELD_UM", "HELD_OUT_STYLES", "LABELS", "PHANTOM_NOTICE", "PLANTED_IDENTITY", "STYLES",
    "TRAINING_STYLES", "VERSION", "Cell", "PatientPlan", "PhantomField", "PhantomFile", "Planted", "Style", "blurred",
    "brightness_shifted", "cohort_plan", "development_plan", "draw_field", "draw_patient", "draw_plan", "encode_jpeg",
    "made_up_style", "patient_labels", "reencoded",
]  # fmt: skip
