"""What objects of the audit trail are called: runs, models, pipelines, trainings."""

from __future__ import annotations

from inference.models import ModelVersion, PipelineRun, PipelineVersion, TrainingRun
from leukoweb.core.audit_targets import Named, named_rows
from leukoweb.core.models import User
from leukoweb.core.permissions import has_action


def run_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "results.view"):
        return {}
    runs = PipelineRun.objects.select_related("pipeline", "slide")
    return named_rows(runs, keys, "result_detail", lambda row: f"result of {row}", by="public_id")


def model_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "models.view"):
        return {}
    return named_rows(ModelVersion.objects.all(), keys, "model_detail", lambda row: f"model {row}")


def pipeline_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "models.view"):
        return {}
    return named_rows(PipelineVersion.objects.all(), keys, "pipeline_detail", lambda row: f"pipeline {row}")


def training_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "training.view"):
        return {}
    return named_rows(TrainingRun.objects.all(), keys, "training_detail", lambda row: f"training {row}", by="public_id")
