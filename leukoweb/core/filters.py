"""What the Jobs page can be narrowed to."""

from __future__ import annotations

from datetime import timedelta

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone

from leukoweb.core.jobs import registry
from leukoweb.core.models import Job

WITHIN = [(1, "the last day"), (7, "the last 7 days"), (30, "the last 30 days")]


def recently(days: int) -> Q:
    """Jobs that ended within so many days, and those that have not ended."""
    return Q(finished_at=None) | Q(finished_at__gte=timezone.now() - timedelta(days=days))


class JobFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="title", lookup_expr="icontains", label="Title contains")
    status = django_filters.ChoiceFilter(choices=Job.Status.choices, empty_label="any", label="State")
    kind = django_filters.ChoiceFilter(choices=registry.kind_titles, empty_label="any", label="Kind")
    days = django_filters.ChoiceFilter(choices=WITHIN, empty_label="whenever", method="by_days", label="Ended within")

    class Meta:
        model = Job
        fields: list[str] = []

    def by_days(self, rows: QuerySet[Job], name: str, value: str) -> QuerySet[Job]:
        return rows.filter(recently(int(value)))
