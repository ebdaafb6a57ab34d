"""Who has seen what of a patient, which decides who may still read that patient blinded."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction

from cases.models import Exposure, Patient
from leukoweb.core.audit import audit_record
from leukoweb.core.models import User


def exposure_record(user: User, patient: Patient, kind: str) -> bool:
    """Record that ``user`` sees a ``result``, a ``reference`` or a ``label`` of ``patient``.

    Idempotent: True only the first time. Call it before the page is rendered.
    """
    kind = Exposure.Kind(kind).value
    if Exposure.objects.filter(user=user, patient=patient, kind=kind).exists():
        return False
    try:
        with transaction.atomic():
            Exposure.objects.create(user=user, patient=patient, kind=kind)
            audit_record(actor=user, action="exposure.record", target=f"patient:{patient.pk}", data={"kind": kind})
    except IntegrityError:
        return False  # the same person opened two pages at once
    return True


@transaction.atomic
def exposures_record(user: User, patient_ids: Iterable[int], kind: str) -> list[int]:
    """Record many patients at once, with one audit event; returns the ids that are new. 2 queries if none is."""
    kind = Exposure.Kind(kind).value
    wanted = set(patient_ids)
    known = Exposure.objects.filter(user=user, kind=kind, patient_id__in=wanted).values_list("patient_id", flat=True)
    new = sorted(wanted - set(known))
    if new:
        rows = [Exposure(user=user, patient_id=patient, kind=kind) for patient in new]
        Exposure.objects.bulk_create(rows, ignore_conflicts=True)
        data = {"kind": kind, "patients": new}
        audit_record(actor=user, action="exposure.record", target=f"user:{user.pk}", data=data)
    return new
