"""Making slides and correcting what is known about their capture."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from cases.models import CaptureDevice, Patient, Slide
from cases.services.checks import require_live, require_valid, unique_or_conflict
from cases.services.patients import require_reason
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User

SLIDE_FIELDS = (
    "magnification", "stain", "slide_maker", "technician", "light", "captured_on", "capture_minutes", "pixel_size_um",
    "note",
)  # fmt: skip
ACQUISITION_FIELDS = ("camera", "microscope", *SLIDE_FIELDS)
"""What ``slide_create`` and ``slide_change`` take by name; ``camera`` and ``microscope`` find or make the device."""
CAPTURE_WORDS = {
    "camera": "Camera", "microscope": "Microscope", "magnification": "Magnification", "stain": "Stain",
    "slide_maker": "Slide made by", "technician": "Captured by", "light": "Light source", "captured_on": "Captured on",
    "capture_minutes": "Minutes per slide", "pixel_size_um": "Pixel size (µm)", "note": "Note",
}  # fmt: skip
"""The one name that each of them has on all pages."""


def device_ensure(camera: str, microscope: str = "") -> CaptureDevice:
    """The device of these names, made if nobody named it before."""
    wanted: dict[str, Any] = {"camera": camera.strip(), "microscope": microscope.strip()}
    require_valid(CaptureDevice(**wanted))
    try:
        with transaction.atomic():
            return CaptureDevice.objects.get_or_create(**wanted)[0]
    except IntegrityError:
        return CaptureDevice.objects.get(**wanted)


@transaction.atomic
def slide_create(*, actor: User | None, patient: Patient, code: str, **acquisition: Any) -> Slide:
    """A smear of a patient with any of ``ACQUISITION_FIELDS``; what is not given is not known.

    Raises
    ------
    DomainError
        A value that its field does not take; ``field`` names it.
    Conflict
        The code is taken, or the patient was withdrawn.
    """
    require_live(patient)
    slide = Slide(patient=patient, code=code.strip(), created_by=actor)
    _assign(slide, acquisition)
    require_valid(slide)
    with unique_or_conflict(f"The slide code {slide.code!r} is taken.", field="code", hint="Choose another code."):
        slide.save()
    audit_record(
        actor=actor, action="slide.create", target=f"slide:{slide.pk}",
        data={"code": slide.code, "patient": patient.pk, **acquisition},
    )  # fmt: skip
    return slide


@transaction.atomic
def slide_change(*, actor: User | None, slide: Slide, reason: str = "", **acquisition: Any) -> Slide:
    """Set acquisition fields; only those that are given change. The record keeps before and after."""
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient", "device").get(pk=slide.pk)
    require_live(slide.patient)
    before = acquisition_of(slide)
    _assign(slide, acquisition)
    require_valid(slide)
    slide.save()
    after = acquisition_of(slide)
    changed = {name: {"before": before[name], "after": after[name]} for name in after if before[name] != after[name]}
    if changed:
        audit_record(actor=actor, action="slide.change", target=f"slide:{slide.pk}", reason=reason, data=changed)
    return slide


@transaction.atomic
def slide_recode(*, actor: User, slide: Slide, code: str, reason: str) -> Slide:
    """Correct a slide's code; a reason is needed."""
    require_reason(reason)
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").get(pk=slide.pk)
    require_live(slide.patient)
    before, slide.code = slide.code, code.strip()
    require_valid(slide)
    with unique_or_conflict(f"The slide code {slide.code!r} is taken.", field="code"):
        slide.save(update_fields=["code"])
    audit_record(
        actor=actor, action="slide.recode", target=f"slide:{slide.pk}", reason=reason,
        data={"before": before, "after": slide.code},
    )  # fmt: skip
    return slide


def acquisition_of(slide: Slide) -> dict[str, Any]:
    """Every acquisition field of a slide by the names of ``ACQUISITION_FIELDS``."""
    device = slide.device
    values = {name: getattr(slide, name) for name in SLIDE_FIELDS}
    return {"camera": device.camera if device else "", "microscope": device.microscope if device else "", **values}


def _assign(slide: Slide, acquisition: dict[str, Any]) -> None:
    unknown = set(acquisition) - set(ACQUISITION_FIELDS)
    if unknown:
        raise DomainError(f"A slide has no field {', '.join(sorted(unknown))}.", field=min(unknown))
    for name in SLIDE_FIELDS:
        if name in acquisition:
            setattr(slide, name, acquisition[name])
    if "camera" in acquisition or "microscope" in acquisition:
        now = acquisition_of(slide)
        camera = acquisition.get("camera", now["camera"])
        microscope = acquisition.get("microscope", now["microscope"])
        if microscope and not camera:
            raise DomainError("A microscope without a camera: name the camera too.", field="camera")
        slide.device = device_ensure(camera, microscope) if camera else None
