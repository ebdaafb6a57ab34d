"""What the lists of a cohort can be narrowed to."""

from __future__ import annotations

import django_filters
from django import forms
from django.db.models import Q, QuerySet

from cases.models import CaptureDevice, Cohort, Patient, Slide

YES_OR_NO = [("yes", "yes"), ("no", "no")]


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"})


class PatientFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="code", lookup_expr="icontains", label="Code contains")
    withdrawn = django_filters.ChoiceFilter(
        method="by_withdrawal", label="Withdrawn", empty_label="any", choices=YES_OR_NO
    )

    class Meta:
        model = Patient
        fields: list[str] = []

    def by_withdrawal(self, rows: QuerySet[Patient], name: str, value: str) -> QuerySet[Patient]:
        return rows.filter(withdrawn_at__isnull=value == "no")


class SlideFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(method="by_code", label="Slide or patient code contains")
    stain = django_filters.CharFilter(lookup_expr="icontains", label="Stain contains")
    device = django_filters.ModelChoiceFilter(queryset=CaptureDevice.objects.all(), empty_label="any", label="Camera")
    since = django_filters.DateFilter(field_name="captured_on", lookup_expr="gte", label="Captured from", widget=_day())
    until = django_filters.DateFilter(
        field_name="captured_on", lookup_expr="lte", label="Captured until", widget=_day()
    )

    class Meta:
        model = Slide
        fields: list[str] = []

    def by_code(self, rows: QuerySet[Slide], name: str, value: str) -> QuerySet[Slide]:
        return rows.filter(Q(code__icontains=value) | Q(patient__code__icontains=value))


class ReferenceFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="code", lookup_expr="icontains", label="Code contains")
    cohort = django_filters.ModelChoiceFilter(queryset=Cohort.objects.all(), empty_label="any")
    missing = django_filters.ChoiceFilter(
        method="by_absence", label="Has none yet", empty_label="any", choices=YES_OR_NO
    )

    class Meta:
        model = Patient
        fields: list[str] = []

    def by_absence(self, rows: QuerySet[Patient], name: str, value: str) -> QuerySet[Patient]:
        return rows.filter(Q(n_references=0) if value == "yes" else Q(n_references__gt=0))
