"""Shapes of the runs and registry API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inference.models import ModelVersion, PipelineRun, PipelineVersion
from inference.selectors.runs import run_words
from inference.services.cohort_results import KINDS
from leukoweb.core.api_serializers import StrictSerializer


class RunRequestSerializer(StrictSerializer):
    pipeline = serializers.CharField(required=False, help_text="NAME:VERSION; without it the active pipeline")
    mode = serializers.ChoiceField(choices=PipelineRun.Mode.choices, default=PipelineRun.Mode.FULL)


class CohortResultsSerializer(StrictSerializer):
    format = serializers.ChoiceField(choices=list(KINDS.items()), default="csv")
    pipeline = serializers.CharField(required=False, help_text="NAME:VERSION; without it the active pipeline")


class RunSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """State of a run; never its diagnosis."""

    id = serializers.UUIDField(source="public_id")
    slide = serializers.IntegerField(source="slide_id")
    pipeline = serializers.CharField()
    mode = serializers.CharField()
    status = serializers.SerializerMethodField(help_text="queued, running, done, failed, cancelled or lost")
    job = serializers.UUIDField(source="job_id", allow_null=True)
    done_units = serializers.IntegerField(source="job.done_units", default=0)
    total_units = serializers.IntegerField(source="job.total_units", default=0)
    error_code = serializers.CharField(source="job.error_code", default="")
    error = serializers.CharField(source="job.error", default="")
    hint = serializers.CharField(source="job.hint", default="")
    created_at = serializers.DateTimeField()

    def get_status(self, run: PipelineRun) -> str:
        return run_words(run)


class ImageResultSerializer(serializers.Serializer):  # type: ignore[type-arg]
    image = serializers.UUIDField()
    position = serializers.IntegerField()
    sha256 = serializers.CharField()
    decided = serializers.ListField(child=serializers.CharField(), help_text="Steps of the trace that it decided")
    model_1 = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    model_2 = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    model_3 = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    single_model = serializers.DictField(child=serializers.FloatField(), allow_null=True)


class ResultSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A whole result; a level that the rules do not give is null, and so is a model that was not run."""

    research_use_only = serializers.BooleanField()
    synthetic = serializers.BooleanField()
    run = serializers.UUIDField()
    slide = serializers.CharField()
    patient = serializers.CharField()
    decided = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True)
    diagnosis = serializers.CharField(allow_null=True)
    diagnosis_3 = serializers.CharField(allow_null=True)
    diagnosis_5 = serializers.CharField(allow_null=True)
    flags = serializers.ListField(child=serializers.CharField())
    trace = serializers.ListField(child=serializers.DictField())
    trace_words = serializers.ListField(child=serializers.CharField())
    mode = serializers.CharField()
    pipeline = serializers.DictField()
    app_version = serializers.CharField()
    requested_by = serializers.CharField(allow_null=True)
    decided_at = serializers.CharField()
    images = ImageResultSerializer(many=True)


class ModelSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "version", "slot", "classes", "synthetic", "weights_sha256", "onnx_sha256", "recipe_sha256",
            "card", "created_at",
        ]  # fmt: skip


class PipelineSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    models = serializers.SerializerMethodField(help_text="Slot -> model id")
    synthetic = serializers.BooleanField()

    class Meta:
        model = PipelineVersion
        fields = ["id", "name", "version", "description", "is_active", "synthetic", "rule_set", "models", "created_at"]

    def get_models(self, pipeline: PipelineVersion) -> dict[str, Any]:
        return {slot: model.pk for slot, model in pipeline.slots.items()}
