"""What the lists of a cohort can be narrowed to."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from cases.models import CaptureDevice, Cohort, Patient, Slide


class PatientFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="code", lookup_expr="icontains", label="Code contains")
    withdrawn = django_filters.BooleanFilter(
        field_name="withdrawn_at", lookup_expr="isnull", exclude=True, label="Withdrawn"
    )

    class Meta:
        model = Patient
        fields: list[str] = []


class SlideFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(method="by_code", label="Slide or patient code contains")
    stain = django_filters.CharFilter(lookup_expr="icontains", label="Stain contains")
    device = django_filters.ModelChoiceFilter(queryset=CaptureDevice.objects.all(), empty_label="any", label="Camera")
    captured = django_filters.DateFromToRangeFilter(
        field_name="captured_on",
        label="Captured from, to",
        widget=django_filters.widgets.DateRangeWidget(attrs={"type": "date"}),
    )

    class Meta:
        model = Slide
        fields: list[str] = []

    def by_code(self, rows: QuerySet[Slide], name: str, value: str) -> QuerySet[Slide]:
        return rows.filter(Q(code__icontains=value) | Q(patient__code__icontains=value))


class ReferenceFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="code", lookup_expr="icontains", label="Code contains")
    cohort = django_filters.ModelChoiceFilter(queryset=Cohort.objects.all(), empty_label="any")
    missing = django_filters.BooleanFilter(field_name="references", lookup_expr="isnull", label="Has none yet")

    class Meta:
        model = Patient
        fields: list[str] = []
