"""Entering reference diagnoses: rows are only ever added, the newest one counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from django.db import transaction
from django.utils import timezone

from cases.models import Patient, ReferenceDiagnosis
from cases.services.checks import require_live, require_valid
from leukoweb.core.audit import audit_record, audit_record_each
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User

_SAID: Final = ("diagnosis", "source", "decided_on", "transformed", "note", "entered_by_id")


def reference_check(
    *, actor: User | None, patient: Patient, diagnosis: str, source: str, decided_on: date | None = None,
    transformed: bool = False, note: str = "",
) -> ReferenceDiagnosis:  # fmt: skip
    """The entry as it would be stored. Nothing is written, and the patient is judged as given.

    Raises
    ------
    DomainError
        Unknown diagnosis, no source, a date in the future, or ``transformed`` with a diagnosis that is not acute.
    """
    require_live(patient)
    if not source.strip():
        raise DomainError(
            "It is not said how this diagnosis was established.", field="source",
            hint="Such as flow cytometry or genetics: in its row, or once for all rows that do not say it.",
        )  # fmt: skip
    if decided_on is not None and decided_on > timezone.localdate():
        raise DomainError(f"The date {decided_on:%Y-%m-%d} is in the future.", code="E_DATE", field="decided_on")
    if transformed and diagnosis not in ("ALL", "AML"):
        raise DomainError(
            f"A transformed chronic leukemia is labelled acute, but the diagnosis given is {diagnosis}.",
            field="transformed", hint="Choose ALL or AML, or untick 'transformed'.",
        )  # fmt: skip
    reference = ReferenceDiagnosis(
        patient=patient, diagnosis=diagnosis, source=source.strip(), decided_on=decided_on, transformed=transformed,
        note=note, entered_by=actor,
    )  # fmt: skip
    require_valid(reference)
    return reference


@transaction.atomic
def reference_add(
    *, actor: User | None, patient: Patient, diagnosis: str, source: str, decided_on: date | None = None,
    transformed: bool = False, note: str = "",
) -> ReferenceDiagnosis:  # fmt: skip
    """What the patient has by the reference standard. The same again by the same person is the entry that stands there.

    ``transformed`` marks a chronic leukemia that turned acute, whose smear is labelled acute (paper, Appendix 1).

    Raises
    ------
    DomainError
        Unknown diagnosis, no source, a date in the future, or ``transformed`` with a diagnosis that is not acute.
    """
    patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
    reference = reference_check(
        actor=actor, patient=patient, diagnosis=diagnosis, source=source, decided_on=decided_on,
        transformed=transformed, note=note,
    )  # fmt: skip
    newest = ReferenceDiagnosis.objects.filter(patient=patient).order_by("-id").first()
    if newest is not None and all(getattr(newest, name) == getattr(reference, name) for name in _SAID):
        return newest
    reference.save(force_insert=True)
    # The diagnosis itself stays out of the trail: who may read the trail is not always who may see references.
    audit_record(actor=actor, action="reference.add", target=f"patient:{patient.pk}", data={"reference": reference.pk})
    return reference


def references_store(*, actor: User | None, references: Sequence[ReferenceDiagnosis]) -> None:
    """Store what `reference_check` gave, with an event for each patient. The caller holds the patients locked."""
    stored = ReferenceDiagnosis.objects.bulk_create(references, batch_size=500)
    audit_record_each(
        actor=actor, action="reference.add",
        entries=[(f"patient:{one.patient_id}", {"reference": one.pk}) for one in stored],
    )  # fmt: skip
