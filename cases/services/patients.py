"""Making patients and correcting their codes."""

from __future__ import annotations

from django.db import transaction

from cases.models import Cohort, Patient
from cases.services.checks import require_live, require_valid, unique_or_conflict
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User


@transaction.atomic
def patient_create(*, actor: User | None, cohort: Cohort, code: str, note: str = "") -> Patient:
    """A pseudonymous patient; the code is unique in the installation.

    Raises
    ------
    DomainError
        The code has characters that a code may not have.
    Conflict
        The code is taken.
    """
    patient = Patient(cohort=cohort, code=code.strip(), note=note)
    require_valid(patient)
    with unique_or_conflict(f"The patient code {patient.code!r} is taken.", field="code", hint="Choose another code."):
        patient.save()
    audit_record(
        actor=actor, action="patient.create", target=f"patient:{patient.pk}",
        data={"code": patient.code, "cohort": cohort.pk},
    )  # fmt: skip
    return patient


@transaction.atomic
def patient_recode(*, actor: User, patient: Patient, code: str, reason: str) -> Patient:
    """Correct a code; the record keeps both. A reason is needed."""
    require_reason(reason)
    patient = Patient.objects.select_for_update().get(pk=patient.pk)
    require_live(patient)
    before, patient.code = patient.code, code.strip()
    require_valid(patient)
    with unique_or_conflict(f"The patient code {patient.code!r} is taken.", field="code"):
        patient.save(update_fields=["code"])
    audit_record(
        actor=actor, action="patient.recode", target=f"patient:{patient.pk}", reason=reason,
        data={"before": before, "after": patient.code},
    )  # fmt: skip
    return patient


def require_reason(reason: str) -> None:
    if not reason.strip():
        raise DomainError("Say why: a correction without a reason is not kept.", code="E_REASON", field="reason")
