"""What is said about the capture of slides already: to choose from, and to use for slides that say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet

from cases.models import CaptureDevice, Slide

SCOPES: Final = {"patient": "this patient", "cohort": "this cohort"}
SPREAD: Final = ("device", "magnification", "pixel_size_um", "stain", "light", "slide_maker", "technician")
"""What slides share that were made in one place. Day, minutes and note are each slide's own."""
_SCALE: Final = ("device", "magnification")
_CHOSEN_FROM: Final = ("stain", "light", "slide_maker", "technician")
KNOWN_AT_MOST: Final = 50


@dataclass(frozen=True)
class Gap:
    """A slide that says less than another one, and the fields (of ``SPREAD``) that would be filled in."""

    slide: Slide
    fields: tuple[str, ...]


def acquisition_known() -> dict[str, list[str]]:
    """By field, what other slides say, in the order of the alphabet. 5 queries."""
    devices = list(CaptureDevice.objects.values_list("camera", "microscope"))
    known = {
        "camera": sorted({camera for camera, _ in devices}),
        "microscope": sorted({microscope for _, microscope in devices if microscope}),
    }
    for name in _CHOSEN_FROM:
        values = Slide.objects.exclude(**{name: ""}).order_by(name).values_list(name, flat=True).distinct()
        known[name] = list(values[:KNOWN_AT_MOST])
    return known


def slides_beside(slide: Slide, scope: str) -> QuerySet[Slide]:
    """The other slides of the patient or cohort; none of a withdrawn patient. ``scope`` is one of ``SCOPES``."""
    others = Slide.objects.filter(patient__withdrawn_at=None).exclude(pk=slide.pk).order_by("code")
    if scope == "patient":
        return others.filter(patient=slide.patient_id)
    return others.filter(patient__cohort=slide.patient.cohort_id)


def gaps(slide: Slide, others: QuerySet[Slide]) -> list[Gap]:
    """Which of ``others`` lack what ``slide`` says. 1 query.

    A pixel size holds for one camera at one magnification: it goes only where both are known and the same (or are
    filled in with it).
    """
    said = [name for name in SPREAD if getattr(slide, name) not in ("", None)]
    found = []
    for other in others.select_related("device"):
        lacking = [name for name in said if getattr(other, name) in ("", None)]
        if "pixel_size_um" in lacking and not all(
            name in said and (name in lacking or getattr(other, name) == getattr(slide, name)) for name in _SCALE
        ):
            lacking.remove("pixel_size_um")
        if lacking:
            found.append(Gap(other, tuple(lacking)))
    return found
