"""DatasetVersion: a frozen list of labelled images with its split, its hash and the proof that nothing leaks."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models.images import HpfImage
from cases.models.patients import Patient
from cases.models.taxonomies import Taxonomy
from leukoweb.core.guards import append_only


@append_only()
class DatasetVersion(models.Model):
    """What a training reads. Everything needed to make it again, or to show that it was not changed, is here."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    taxonomy = models.ForeignKey(Taxonomy, on_delete=models.PROTECT, related_name="+")
    class_map = models.CharField(max_length=40, help_text="Map of the taxonomy used for stratifying and counting")
    choices = models.JSONField(help_text="Cohorts, tasks, consensus rule, minimum images, fractions, folds, seed")
    flow = models.JSONField(help_text="[{step, n_images, n_slides, n_patients}]: received, excluded by reason, kept")
    counts = models.JSONField(help_text="Images and patients by split and label")
    proof = models.JSONField(help_text="Leakage proof: each check with what it looked at and found")
    manifest_sha256 = models.CharField(max_length=64, help_text="Of the canonical manifest; equal on every database")
    synthetic = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="dataset_version_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@append_only()
class DatasetEntry(models.Model):
    """One image of a version, with the label that it had when the version was frozen."""

    class Split(models.TextChoices):
        TRAIN = "train", "Training"
        INTERNAL = "internal", "Internal validation"

    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="entries")
    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    content_sha256 = models.CharField(max_length=64)
    label = models.CharField(max_length=40)
    split = models.CharField(max_length=8, choices=Split.choices)
    fold = models.PositiveSmallIntegerField(default=0, help_text="From 1 with k-fold; 0 without")

    class Meta:
        ordering = ["dataset", "id"]
        constraints = [models.UniqueConstraint(fields=["dataset", "image"], name="dataset_image_once")]
        indexes = [models.Index(fields=["dataset", "split", "label"])]

    def __str__(self) -> str:
        return f"{self.dataset_id}: image {self.image_id} {self.label} ({self.split})"
