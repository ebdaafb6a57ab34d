"""The REST API of curation and dataset versions."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.consensus import RULES
from cases.dataset_choices import Settings
from cases.models import Cohort, DatasetEntry, DatasetVersion, DuplicateSettlement, Exclusion, SortingTask
from cases.selectors import datasets as selectors
from cases.selectors.dataset_plan import dataset_plan
from cases.selectors.duplicates import duplicates_find, live_seen, public_ids
from cases.selectors.usable import Choices
from cases.services.curation import duplicate_settle, images_by_public_id, images_exclude
from cases.services.datasets import dataset_freeze
from cases.services.exposures import exposures_record
from leukoweb.core.api import Pages
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.exceptions import NotFound
from leukoweb.core.http import person
from leukoweb.core.openapi import paged

_REFUSALS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class DatasetOut(serializers.ModelSerializer):  # type: ignore[type-arg]
    """A frozen version; ``proof``, ``flow`` and ``counts`` are as they were frozen."""

    id = serializers.UUIDField(source="public_id")
    taxonomy = serializers.CharField(source="taxonomy.__str__")
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    choices = serializers.JSONField()
    flow = serializers.JSONField()
    counts = serializers.JSONField()
    proof = serializers.JSONField()

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "name", "version", "taxonomy", "class_map", "n_images", "n_patients", "manifest_sha256", "synthetic",
            "choices", "flow", "counts", "proof", "created_by", "created_at",
        ]  # fmt: skip


class EntryOut(serializers.ModelSerializer):  # type: ignore[type-arg]
    patient = serializers.CharField(source="patient_code")
    slide = serializers.CharField(source="slide_code")
    image = serializers.UUIDField(source="image.public_id")

    class Meta:
        model = DatasetEntry
        fields = ["number", "image", "content_sha256", "patient", "slide", "label", "split", "fold"]


class DatasetIn(serializers.Serializer):  # type: ignore[type-arg]
    """Cohorts and tasks by name. ``dry_run`` answers what would be frozen, and freezes nothing."""

    name = serializers.CharField(max_length=80)
    cohorts = serializers.ListField(child=serializers.CharField(max_length=80), min_length=1, max_length=100)
    tasks = serializers.ListField(child=serializers.CharField(max_length=80), min_length=1, max_length=100)
    rule = serializers.ChoiceField(choices=RULES, required=False)
    class_map = serializers.CharField(max_length=40, default="five")
    min_images = serializers.IntegerField(min_value=1, max_value=1000, default=3)
    fraction = serializers.FloatField(min_value=0.01, max_value=0.5, default=0.2)
    folds = serializers.IntegerField(min_value=0, max_value=20, default=0)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    sides_of = serializers.CharField(
        max_length=100, required=False, help_text="NAME:VERSION; its patients stay on their side"
    )
    dry_run = serializers.BooleanField(default=False)

    def choices_of(self) -> Choices:
        data = self.validated_data
        return Choices(
            cohorts=tuple(_by_name(Cohort, data["cohorts"], "cohort")),
            tasks=tuple(_by_name(SortingTask, data["tasks"], "sorting task")),
            settings=Settings(
                class_map=data["class_map"], min_images=data["min_images"], fraction=data["fraction"],
                folds=data["folds"], seed=data["seed"],
            ),
            rule=data.get("rule", ""),
            sides_of=selectors.dataset_named(data["sides_of"]) if "sides_of" in data else None,
        )  # fmt: skip


class PlanProblemOut(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)


class PlanOut(serializers.Serializer):  # type: ignore[type-arg]
    """What would be frozen; it can be if ``problems`` is empty."""

    n_images = serializers.IntegerField()
    n_patients = serializers.IntegerField()
    counts = serializers.JSONField()
    flow = serializers.JSONField()
    proof = serializers.JSONField()
    problems = PlanProblemOut(many=True)
    warnings = PlanProblemOut(many=True)


def _by_name(model: Any, names: list[str], what: str) -> list[Any]:
    rows = {row.name: row for row in model.objects.filter(name__in=names)}
    if missing := [name for name in names if name not in rows]:
        raise NotFound(f"There is no {what} {missing[0]!r}.", field=f"{what.split()[-1]}s")
    return [rows[name] for name in dict.fromkeys(names)]


class Datasets(APIView):
    """Frozen dataset versions, the newest first."""

    required_action = "datasets.view"

    @paged(DatasetOut, name="datasets_list")
    def get(self, request: Request) -> Response:
        pages = Pages()
        page = pages.paginate_queryset(selectors.dataset_list(), request, view=self)
        return pages.get_paginated_response(DatasetOut(page, many=True).data)


class DatasetFreeze(APIView):
    """Freeze a version, or with ``dry_run`` say what would be frozen."""

    required_action = "datasets.freeze"

    @extend_schema(request=DatasetIn, responses={200: PlanOut, 201: DatasetOut, **_REFUSALS})
    def post(self, request: Request) -> Response:
        body = DatasetIn(data=request.data)
        body.is_valid(raise_exception=True)
        choices = body.choices_of()
        if body.validated_data["dry_run"]:
            plan = dataset_plan(choices)
            told = {
                "n_images": len(plan.images), "n_patients": plan.n_patients, "counts": plan.counts,
                "flow": [step.as_dict() for step in plan.flow], "proof": [check.as_dict() for check in plan.checks],
                "problems": plan.problems, "warnings": plan.warnings,
            }  # fmt: skip
            return Response(PlanOut(told).data)
        version = dataset_freeze(actor=person(request), name=body.validated_data["name"], choices=choices)
        return Response(DatasetOut(version).data, status=201)


class DatasetDetail(APIView):
    """One version."""

    required_action = "datasets.view"

    @extend_schema(responses={200: DatasetOut, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(DatasetOut(selectors.dataset_get(pk)).data)


class DatasetImages(APIView):
    """The images of a version with their labels, page by page; patients withdrawn since are not among them."""

    required_action = "datasets.view"

    @paged(EntryOut, name="datasets_images_list")
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        rows = selectors.dataset_rows(selectors.dataset_get(pk)).select_related("image")
        pages = Pages()
        page = pages.paginate_queryset(rows, request, view=self) or []
        exposures_record(person(request), {entry.patient_id for entry in page}, "label")
        return pages.get_paginated_response(EntryOut(page, many=True).data)


class ExclusionIn(serializers.Serializer):  # type: ignore[type-arg]
    images = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=5000)
    excluded = serializers.BooleanField(default=True)
    reason = serializers.ChoiceField(choices=Exclusion.Reason.choices)
    note = serializers.CharField(max_length=300, default="", allow_blank=True)


class ChangedOut(serializers.Serializer):  # type: ignore[type-arg]
    changed = serializers.IntegerField()


class Exclusions(APIView):
    """Take images out of curation, or in again, with one reason for all."""

    required_action = "curation.manage"

    @extend_schema(request=ExclusionIn, responses={200: ChangedOut, **_REFUSALS})
    def post(self, request: Request) -> Response:
        body = ExclusionIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        images = images_by_public_id([str(pk) for pk in data.pop("images")])
        return Response({"changed": images_exclude(actor=person(request), images=images, **data)})


class PairOut(serializers.Serializer):  # type: ignore[type-arg]
    first = serializers.UUIDField()
    second = serializers.UUIDField()
    identical = serializers.BooleanField()
    likeness = serializers.FloatField()
    across_patients = serializers.BooleanField()
    outcome = serializers.CharField(allow_blank=True)


class SettlementIn(serializers.Serializer):  # type: ignore[type-arg]
    first = serializers.UUIDField()
    second = serializers.UUIDField()
    outcome = serializers.ChoiceField(choices=DuplicateSettlement.Outcome.choices)
    note = serializers.CharField(max_length=300, default="", allow_blank=True)


class Duplicates(APIView):
    """Pairs of images that look the same, across patients first. POST settles one."""

    required_action = "curation.manage"

    @paged(PairOut, name="curation_duplicates_list")
    def get(self, request: Request) -> Response:
        pages = Pages()
        page = pages.paginate_queryset(duplicates_find(live_seen()).pairs, request, view=self) or []
        ids = public_ids({pk for pair in page for pk in (pair.first, pair.second)})
        rows = [
            {"first": ids[pair.first], "second": ids[pair.second], "identical": pair.exact, "likeness": pair.likeness,
             "across_patients": pair.across_patients, "outcome": pair.outcome}
            for pair in page
        ]  # fmt: skip
        return pages.get_paginated_response(PairOut(rows, many=True).data)

    @extend_schema(request=SettlementIn, responses={201: SettlementIn, **_REFUSALS})
    def post(self, request: Request) -> Response:
        body = SettlementIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        by_id = {i.public_id: i for i in images_by_public_id([str(data["first"]), str(data["second"])])}
        duplicate_settle(
            actor=person(request), first=by_id[data["first"]], second=by_id[data["second"]], outcome=data["outcome"],
            note=data["note"],
        )  # fmt: skip
        return Response(body.data, status=201)
