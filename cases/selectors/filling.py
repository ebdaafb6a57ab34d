"""What is said about the capture of slides already: to choose from, and to use for slides that say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet

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


def _lacks(slide: Slide) -> dict[str, Q]:
    """By field that ``slide`` says: which other slides would get it.

    A pixel size holds for one camera at one magnification: it goes only where both are known and the same (or are
    filled in with it).
    """
    said = [name for name in SPREAD if getattr(slide, name) not in ("", None)]
    lacks = {name: _silent(name) for name in said}
    if "pixel_size_um" in lacks:
        for name in _SCALE:
            if name not in said:
                del lacks["pixel_size_um"]
                break
            lacks["pixel_size_um"] &= _silent(name) | Q(**{name: getattr(slide, name)})
    return lacks


def _silent(name: str) -> Q:
    return Q(**{f"{name}__isnull": True}) if Slide._meta.get_field(name).null else Q(**{name: ""})


def gaps(slide: Slide, others: QuerySet[Slide]) -> list[Gap]:
    """Which of ``others`` lack what ``slide`` says; no other row is read or locked. 1 query."""
    lacks = _lacks(slide)
    if not lacks:
        return []
    asked = {f"lacks_{name}": ExpressionWrapper(q, output_field=BooleanField()) for name, q in lacks.items()}
    rows = others.filter(reduce(or_, lacks.values())).annotate(**asked)
    return [Gap(row, tuple(name for name in lacks if getattr(row, f"lacks_{name}"))) for row in rows]


def gap_counts(slide: Slide, others: QuerySet[Slide]) -> tuple[int, dict[str, int]]:
    """How many of ``others`` lack anything that ``slide`` says, and how many each field. 1 query, 1 row."""
    lacks = _lacks(slide)
    if not lacks:
        return 0, {}
    asked = {f"lacks_{name}": Count("pk", filter=q) for name, q in lacks.items()}
    found = others.order_by().aggregate(any=Count("pk", filter=reduce(or_, lacks.values())), **asked)
    return found["any"], {name: found[f"lacks_{name}"] for name in lacks}
