"""Answers of an AI that did not run here: outside software, or a published study. Sealed and insert-only."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only
from reader_study.models.studies import Study, StudyCase


@append_only()
class ImportedEvaluator(models.Model):
    """An AI whose answers were imported. Named as in the protocol, it takes that pipeline's place."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="imported_evaluators")
    name = models.CharField(max_length=80)
    version = models.CharField(max_length=40)
    source = models.CharField(max_length=300, help_text="Where the answers come from")
    file_sha256 = models.CharField(max_length=64, blank=True, help_text="Of the imported file")
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "id"]
        constraints = [models.UniqueConstraint(fields=["study", "name", "version"], name="imported_evaluator_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@append_only()
class ImportedPrediction(models.Model):
    """Its answer on one case at one level of classes; an empty class: it could not decide."""

    evaluator = models.ForeignKey(ImportedEvaluator, on_delete=models.PROTECT, related_name="predictions")
    study_case = models.ForeignKey(StudyCase, on_delete=models.PROTECT, related_name="imported_predictions")
    level = models.CharField(max_length=20, help_text="Name of the class map: five, three, two, custom")
    diagnosis = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["evaluator", "id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluator", "study_case", "level"], name="imported_prediction_once")
        ]

    def __str__(self) -> str:
        return f"{self.evaluator_id} on {self.study_case_id}"
