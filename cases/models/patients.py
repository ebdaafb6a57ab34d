"""Cohort, Patient, the sealed ReferenceDiagnosis, and who has seen what of a patient."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from leukoweb.core.blindfold import HidesByPatient, HidesPatients
from leukoweb.core.guards import append_only

CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$"
code_validator = RegexValidator(
    CODE_PATTERN,
    "A code has 1 to 60 letters, digits, spaces, dots, dashes or underscores and begins with a letter or digit.",
)


class Diagnosis(models.TextChoices):
    """Patient-level diagnoses, in the order that every table uses."""

    ALL = "ALL", "Acute lymphoblastic leukemia"
    AML = "AML", "Acute myeloid leukemia"
    CLL = "CLL", "Chronic lymphocytic leukemia"
    CML = "CML", "Chronic myeloid leukemia"
    NO_LEUKEMIA = "NO_LEUKEMIA", "No leukemia"


class Cohort(models.Model):
    """Patients gathered for one purpose. Leakage is stopped here: training refuses external patients."""

    class Purpose(models.TextChoices):
        DEVELOPMENT = "development", "Development (training and internal validation)"
        EXTERNAL = "external", "External validation (never trained on)"

    name = models.CharField(max_length=80, unique=True)
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    description = models.TextField(blank=True)
    synthetic = models.BooleanField(default=False, help_text="Drawn phantoms, not people")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(purpose__in=["development", "external"]), name="cohort_purpose_known"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Patient(models.Model):
    """A pseudonym. A withdrawn patient's pixels are gone; this row stays as the tombstone."""

    code = models.CharField(max_length=60, unique=True, validators=[code_validator])
    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="patients")
    note = models.TextField(blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HidesPatients["Patient"]()

    class Meta:
        ordering = ["code"]
        # Few are: what is counted without them is counted at all, less these.
        indexes = [
            models.Index(fields=["id"], condition=models.Q(withdrawn_at__isnull=False), name="patient_withdrawn")
        ]

    def __str__(self) -> str:
        return self.code


@append_only()
class ReferenceDiagnosis(models.Model):
    """What a patient has by the reference standard (flow cytometry, genetics, ...). The newest row counts.

    Kept in a table of its own, which no reader's request may ever query.
    """

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="references")
    diagnosis = models.CharField(max_length=12, choices=Diagnosis.choices)
    source = models.CharField(max_length=200, help_text="How it was established, such as flow cytometry or genetics")
    decided_on = models.DateField(null=True, blank=True)
    transformed = models.BooleanField(
        default=False,
        help_text="Chronic leukemia transformed to acute: the smear is labelled acute (paper, Appendix 1)",
    )
    note = models.TextField(blank=True)
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(auto_now_add=True)

    objects = HidesByPatient["ReferenceDiagnosis"]()

    class Meta:
        ordering = ["patient", "-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(diagnosis__in=Diagnosis.values), name="reference_diagnosis_known")
        ]

    def __str__(self) -> str:
        return f"{self.patient_id}: {self.diagnosis}"


@append_only()
class Exposure(models.Model):
    """This person has seen a result, a reference or a label of this patient and so may not read the patient blinded."""

    class Kind(models.TextChoices):
        RESULT = "result", "AI result"
        REFERENCE = "reference", "Reference diagnosis"
        LABEL = "label", "Sorting label"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="exposures")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="exposures")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    first_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "patient", "kind"], name="exposure_once")]

    def __str__(self) -> str:
        return f"{self.user_id} saw the {self.kind} of {self.patient_id}"
