"""Tables of patients, slides and references; sorting and pages by django-tables2."""

from __future__ import annotations

import django_tables2 as tables

from cases.models import Patient, Slide

_NUMBER = {"td": {"class": "text-end num"}, "th": {"class": "text-end"}}
_TABLE = {"class": "table align-middle"}


class PatientTable(tables.Table):
    code = tables.Column(linkify=("patient_detail", [tables.A("pk")]), verbose_name="Patient")
    n_slides = tables.Column(verbose_name="Slides", attrs=_NUMBER)
    n_images = tables.Column(verbose_name="Images", attrs=_NUMBER)
    created_at = tables.DateColumn(format="Y-m-d", verbose_name="Added")
    withdrawn_at = tables.DateColumn(format="Y-m-d", verbose_name="Withdrawn", default="")

    class Meta:
        model = Patient
        fields = ["code", "n_slides", "n_images", "created_at", "withdrawn_at"]
        attrs = _TABLE
        empty_text = "No patient here."


class SlideTable(tables.Table):
    code = tables.Column(linkify=("slide_detail", [tables.A("pk")]), verbose_name="Slide")
    patient = tables.Column(
        linkify=("patient_detail", [tables.A("patient_id")]), accessor="patient__code", verbose_name="Patient"
    )
    n_images = tables.Column(verbose_name="Images", attrs=_NUMBER)
    device = tables.Column(verbose_name="Camera", default="")
    stain = tables.Column(default="")
    captured_on = tables.DateColumn(format="Y-m-d", verbose_name="Captured", default="")

    class Meta:
        model = Slide
        fields = ["code", "patient", "n_images", "device", "stain", "captured_on"]
        attrs = _TABLE
        empty_text = "No slide here."


class ReferenceTable(tables.Table):
    """Whether there is a reference, never which: opening a patient's page is what is recorded."""

    code = tables.Column(linkify=("patient_references", [tables.A("pk")]), verbose_name="Patient")
    cohort = tables.Column(accessor="cohort__name", verbose_name="Cohort")
    n_references = tables.Column(verbose_name="Entries", attrs=_NUMBER)

    class Meta:
        model = Patient
        fields = ["code", "cohort", "n_references"]
        attrs = _TABLE
        empty_text = "No patient here."
