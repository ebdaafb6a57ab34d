"""The registry: frozen model versions and the pipelines made of them. A pointer says which pipeline is live."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only


@append_only()
class ModelVersion(models.Model):
    """Weights with their card. The files live in core.storage; a version never changes."""

    class Slot(models.TextChoices):
        MODEL_1 = "model_1", "Model 1 (leukemia or not)"
        MODEL_2 = "model_2", "Model 2 (acute, chronic, none, reactive)"
        MODEL_3 = "model_3", "Model 3 (ALL, AML, CLL, CML, none)"
        SINGLE = "single_model", "Single model (comparator)"

    name = models.CharField(max_length=80)
    version = models.CharField(max_length=40)
    slot = models.CharField(max_length=12, choices=Slot.choices)
    classes = models.JSONField(help_text="In the order of the model's outputs")
    card = models.JSONField()
    recipe_sha256 = models.CharField(max_length=64)
    weights_sha256 = models.CharField(max_length=64)
    onnx_sha256 = models.CharField(max_length=64)
    synthetic = models.BooleanField(default=False, help_text="Trained on phantoms: for demonstration")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["slot", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="model_version_once"),
            models.CheckConstraint(
                condition=models.Q(slot__in=["model_1", "model_2", "model_3", "single_model"]), name="model_slot_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@append_only()
class ModelCalibration(models.Model):
    """The re-check band of a model whose card brings none, measured once on drawn fields (ADR 0400).

    It is part of the numeric profile of every prediction made with it, so it never changes.
    """

    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="calibrations")
    precision = models.CharField(max_length=8, help_text="The reduced precision: bf16")
    margin = models.FloatField(help_text="Gap of the two largest logits below which fp32 computes again")
    n_images = models.PositiveIntegerField()
    engine = models.CharField(max_length=40, help_text="Engine and version that measured it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "precision"], name="model_calibrated_once"),
            models.CheckConstraint(condition=models.Q(margin__gte=0), name="model_margin_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.precision} {self.margin:g}"


@append_only(except_columns=("is_active",))
class PipelineVersion(models.Model):
    """A rule set with the model of each slot. Exactly one is active."""

    name = models.CharField(max_length=80)
    version = models.CharField(max_length=40)
    description = models.TextField(blank=True)
    rule_set = models.JSONField(help_text="Validated by inference.pipeline.hierarchy")
    model_1 = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    model_2 = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    model_3 = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    single_model = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-is_active", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="pipeline_version_once"),
            models.UniqueConstraint(
                fields=["is_active"], condition=models.Q(is_active=True), name="pipeline_one_active"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def slots(self) -> dict[str, ModelVersion]:
        """Slot name -> model, for the slots that are filled."""
        named = {
            "model_1": self.model_1,
            "model_2": self.model_2,
            "model_3": self.model_3,
            "single_model": self.single_model,
        }
        return {slot: model for slot, model in named.items() if model is not None}

    @property
    def synthetic(self) -> bool:
        return any(model.synthetic for model in self.slots.values())
