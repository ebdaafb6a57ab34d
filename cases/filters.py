"""What the lists of a cohort can be narrowed to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet

from cases.models import CaptureDevice, Cohort, HpfImage, Patient, Slide
from cases.selectors.slide_states import SlideStates

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
    q = django_filters.CharFilter(method="by_code", label="Code contains")
    stain = django_filters.CharFilter(lookup_expr="icontains", label="Stain contains")
    device = django_filters.ModelChoiceFilter(queryset=CaptureDevice.objects.all(), empty_label="any", label="Camera")
    since = django_filters.DateFilter(field_name="captured_on", lookup_expr="gte", label="Captured from", widget=_day())
    until = django_filters.DateFilter(
        field_name="captured_on", lookup_expr="lte", label="Captured until", widget=_day()
    )

    review = django_filters.ChoiceFilter(
        method="by_review", label="Review", empty_label="any", choices=Slide.Review.choices
    )

    class Meta:
        model = Slide
        fields: list[str] = []

    def __init__(self, *args: Any, cohort: Cohort, columns: Mapping[str, SlideStates] | None, **kwargs: Any) -> None:
        """``columns``: a filter for each of them; None: nothing is told of the state of a slide."""
        super().__init__(*args, **kwargs)
        if columns is None:
            del self.filters["review"]
        for name, source in (columns or {}).items():
            added = django_filters.ChoiceFilter(
                field_name=name, label=source.title, empty_label="any", choices=source.choices,
                method=partial(self._by_state, cohort, source),
            )  # fmt: skip
            added.parent, added.model = self, Slide
            self.filters[name] = added

    @staticmethod
    def _by_state(cohort: Cohort, source: SlideStates, rows: QuerySet[Slide], name: str, value: str) -> QuerySet[Slide]:
        return source.narrow(rows, cohort, value)

    def by_review(self, rows: QuerySet[Slide], name: str, value: str) -> QuerySet[Slide]:
        """A slide without a field waits for its fields, not for a review."""
        return rows.filter(Exists(HpfImage.objects.filter(slide=OuterRef("pk"))), review=value)

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
