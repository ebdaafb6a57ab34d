"""Analysis: frozen inputs and the result computed from them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only
from leukoweb.core.models import Job
from reader_study.models.studies import ProtocolVersion, Study


@append_only(except_columns=("job",))
class Analysis(models.Model):
    """What was asked for. The inputs never change (triggers); the result is a row of its own, written once."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="analyses")
    protocol = models.ForeignKey(ProtocolVersion, on_delete=models.PROTECT, related_name="+")
    interim = models.BooleanField(default=False)
    inputs = models.JSONField(help_text="Schema leukoweb/study-inputs/1 (reader_study.analysis.inputs)")
    inputs_sha256 = models.CharField(max_length=64)
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="study_analysis")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "analyses"

    def __str__(self) -> str:
        return f"{self.study_id} analysis {self.pk}"


@append_only()
class AnalysisResult(models.Model):
    analysis = models.OneToOneField(Analysis, on_delete=models.PROTECT, related_name="result")
    result = models.JSONField(help_text="Schema leukoweb/study-results/1")
    result_sha256 = models.CharField(max_length=64)
    app_version = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"result of {self.analysis_id}"
