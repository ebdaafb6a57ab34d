"""PipelineRun: one pipeline over one slide, done by one job."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models import Slide
from inference.models.registry import PipelineVersion
from leukoweb.core.blindfold import HidesBySlide
from leukoweb.core.models import Job


class PipelineRun(models.Model):
    """What was asked for. Its state is the job's; its result is the PatientPrediction."""

    class Mode(models.TextChoices):
        FULL = "full", "Every model on every image"
        CASCADE = "cascade", "Only what the rules need"

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="runs")
    slide = models.ForeignKey(Slide, on_delete=models.PROTECT, related_name="runs")
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="pipeline_run")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.FULL)
    engine_profile = models.CharField(max_length=240, blank=True, help_text="Engine and precision that computed it")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HidesBySlide["PipelineRun"]()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["slide", "-id"]),
            # The newest run of each slide with one pipeline; by the pipeline's own index each slide walked all runs.
            models.Index(fields=["slide", "pipeline", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} on {self.slide}"
