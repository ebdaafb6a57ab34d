"""What the lists of results and of training runs can be narrowed to."""

from __future__ import annotations

from typing import Final

import django_filters
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from cases.models import Cohort, Exposure
from cases.taxonomy import STYLES
from inference.models import PipelineRun, PipelineVersion, TrainingRun
from inference.pipeline.classes import DIAGNOSES_3, DIAGNOSES_5
from leukoweb.core.models import Job, User

NO_DECISION: Final = "none"
_DIAGNOSES: Final = [
    *((name, STYLES[name].title) for name in dict.fromkeys((*DIAGNOSES_5, *DIAGNOSES_3))),
    (NO_DECISION, "No decision"),
]
_UNFINISHED: Final = [(value, words) for value, words in Job.Status.choices if value != Job.Status.DONE]


class ResultFilter(django_filters.FilterSet):
    """Of ``PipelineRun``. Narrowing by a diagnosis tells one of every patient that the other filters leave: those who
    ask must have seen their results first (``patients_unseen``)."""

    q = django_filters.CharFilter(method="by_code", label="Code contains")
    cohort = django_filters.ModelChoiceFilter(
        queryset=Cohort.objects.all(), field_name="slide__patient__cohort", empty_label="any", label="Cohort"
    )
    pipeline = django_filters.ModelChoiceFilter(
        queryset=PipelineVersion.objects.all(), empty_label="any", label="Pipeline"
    )
    state = django_filters.ChoiceFilter(
        method="by_state", label="State", empty_label="any", choices=[("done", "Done"), *_UNFINISHED]
    )
    diagnosis = django_filters.ChoiceFilter(
        method="by_diagnosis", empty_label="any", choices=_DIAGNOSES, label="Diagnosis"
    )

    class Meta:
        model = PipelineRun
        fields: list[str] = []

    def by_code(self, rows: QuerySet[PipelineRun], name: str, value: str) -> QuerySet[PipelineRun]:
        return rows.filter(Q(slide__code__icontains=value) | Q(slide__patient__code__icontains=value))

    def by_state(self, rows: QuerySet[PipelineRun], name: str, value: str) -> QuerySet[PipelineRun]:
        if value == "done":
            return rows.exclude(prediction=None)
        return rows.filter(prediction=None, job__status=value)

    def by_diagnosis(self, rows: QuerySet[PipelineRun], name: str, value: str) -> QuerySet[PipelineRun]:
        if value == NO_DECISION:
            return rows.filter(prediction__decided=False)
        levels = Q(prediction__diagnosis_3=value) | Q(prediction__diagnosis_5=value) | Q(prediction__diagnosis=value)
        return rows.filter(levels)


def patients_unseen(asked: QueryDict, user: User) -> QuerySet[PipelineRun, int]:
    """Ids of the patients whose results a narrowing by diagnosis would tell and ``user`` has not seen; none without."""
    if not asked.get("diagnosis"):
        return PipelineRun.objects.none().values_list("slide__patient_id", flat=True)
    others = asked.copy()
    del others["diagnosis"]
    rows = PipelineRun.objects.filter(slide__patient__withdrawn_at=None).exclude(prediction=None)
    seen = Exposure.objects.filter(user=user, kind=Exposure.Kind.RESULT, patient=OuterRef("slide__patient"))
    left = ResultFilter(others, queryset=rows).qs.filter(~Exists(seen))
    return left.order_by().values_list("slide__patient_id", flat=True).distinct()


class TrainingFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(method="by_name", label="Run or dataset contains")
    state = django_filters.ChoiceFilter(
        method="by_state", label="State", empty_label="any", choices=[("draft", "Draft"), *Job.Status.choices]
    )

    class Meta:
        model = TrainingRun
        fields: list[str] = []

    def by_name(self, rows: QuerySet[TrainingRun], name: str, value: str) -> QuerySet[TrainingRun]:
        return rows.filter(Q(name__icontains=value) | Q(dataset__name__icontains=value))

    def by_state(self, rows: QuerySet[TrainingRun], name: str, value: str) -> QuerySet[TrainingRun]:
        return rows.filter(job=None) if value == "draft" else rows.filter(job__status=value)
