"""Training: what was asked for, how far it is, what every epoch gave, and how pipelines did on a dataset version."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models import DatasetVersion
from inference.models.registry import ModelVersion, PipelineVersion
from inference.pipeline.rules import RuleSet, rule_set_named
from inference.pipeline.training_config import LIVE_RULES, PARTS, TrainingConfig
from leukoweb.core.guards import append_only
from leukoweb.core.models import Job


class TrainingRun(models.Model):
    """A configuration on a frozen dataset. Its state is the job's; without a job it is a draft."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60, unique=True, help_text="Models and pipeline of the run are named after it")
    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="training_runs")
    config = models.JSONField(help_text="Validated by inference.pipeline.training_config")
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="training_run")
    estimate_job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    estimate = models.JSONField(default=dict, help_text="Seconds per step and in all, from a measured step")
    environment = models.JSONField(default=dict, help_text="Device, threads and library versions that trained it")
    pipeline = models.ForeignKey(
        PipelineVersion, null=True, on_delete=models.PROTECT, related_name="training_runs", help_text="The candidate"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def plan(self) -> TrainingConfig:
        return TrainingConfig.from_dict(self.config)

    @property
    def rules(self) -> RuleSet:
        """Of the candidate; those of the active pipeline were pinned when the run was made."""
        plan = self.plan
        return RuleSet.from_dict(self.environment["rules"]) if plan.rules == LIVE_RULES else rule_set_named(plan.rules)

    @property
    def state(self) -> str:
        """draft, or the status of the job; "lost" when a started run's job is gone."""
        if self.job is not None:
            return str(self.job.status)
        return "done" if self.pipeline_id or "device" in self.environment else "draft"  # a draft may pin what is live


class TrainingPart(models.Model):
    """One model of a run. ``state_name`` is the file to resume from: it changes only together with the epoch's row."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="parts")
    part = models.CharField(max_length=12, choices=[(part, words[2]) for part, words in PARTS.items()])
    position = models.PositiveSmallIntegerField()
    epochs_done = models.PositiveIntegerField(default=0)
    best_epoch = models.PositiveIntegerField(default=0)
    best_macro_f1 = models.FloatField(null=True)
    state_name = models.CharField(max_length=120, blank=True)
    model = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="training_parts")
    report = models.JSONField(default=dict, help_text="Validation report, by inference.pipeline.validation")

    class Meta:
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "part"], name="training_part_once")]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.part}"

    @property
    def macro_f1(self) -> float | None:
        """Of the registered model, whose batch norm was measured anew over all training images; while the part trains
        that of its best epoch."""
        return self.report["macro"]["f1"]["estimate"] if self.model_id and self.report else self.best_macro_f1


@append_only()
class TrainingEpoch(models.Model):
    """One finished epoch."""

    part = models.ForeignKey(TrainingPart, on_delete=models.PROTECT, related_name="epochs")
    number = models.PositiveIntegerField()
    loss = models.FloatField()
    macro_f1 = models.FloatField(help_text="On the images of internal-validation patients")
    accuracy = models.FloatField()
    class_f1 = models.JSONField(help_text="In class order; null where undefined")
    learning_rate = models.FloatField()
    images_per_s = models.FloatField()
    seconds = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["part", "number"]
        constraints = [models.UniqueConstraint(fields=["part", "number"], name="training_epoch_once")]

    def __str__(self) -> str:
        return f"{self.part_id} epoch {self.number}"


@append_only()
class TrainingNote(models.Model):
    """A line of a run's log."""

    run = models.ForeignKey(TrainingRun, on_delete=models.PROTECT, related_name="notes")
    text = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


@append_only()
class Evaluation(models.Model):
    """A pipeline on the internal-validation patients of a dataset version. The newest of a pair counts."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="evaluations")
    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="evaluations")
    report = models.JSONField(help_text="By inference.pipeline.evaluation")
    engine_profile = models.CharField(max_length=240)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["pipeline", "dataset", "-id"])]

    def __str__(self) -> str:
        return f"{self.pipeline_id} on {self.dataset_id}"


@append_only()
class Promotion(models.Model):
    """Which pipeline became the active one, in place of which, by whom and why."""

    pipeline = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="promotions")
    before = models.ForeignKey(PipelineVersion, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500, blank=True)
    promoted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    promoted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.before_id} -> {self.pipeline_id}"
