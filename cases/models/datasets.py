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
    n_images = models.PositiveIntegerField()
    n_patients = models.PositiveIntegerField()
    synthetic = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="dataset_version_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@append_only(
    insert_if='NEW."number" BETWEEN 1 AND (SELECT v."n_images" FROM "cases_datasetversion" v '
    'WHERE v."id" = NEW."dataset_id")'
)
class DatasetEntry(models.Model):
    """One image of a version, with the label that it had when the version was frozen.

    Every number from 1 to the version's count is taken once, so that nothing can be added to a frozen version.
    """

    class Split(models.TextChoices):
        TRAIN = "train", "Training"
        INTERNAL = "internal", "Internal validation"

    dataset = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="entries")
    number = models.PositiveIntegerField(help_text="From 1 to the version's number of images, in manifest order")
    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    patient_code = models.CharField(max_length=60, help_text="As it was when the version was frozen")
    slide_code = models.CharField(max_length=60, help_text="As it was when the version was frozen")
    content_sha256 = models.CharField(max_length=64)
    label = models.CharField(max_length=40)
    split = models.CharField(max_length=8, choices=Split.choices)
    fold = models.PositiveSmallIntegerField(default=0, help_text="From 1 with k-fold; 0 without")

    class Meta:
        ordering = ["dataset", "number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "image"], name="dataset_image_once"),
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_number_once"),
        ]
        indexes = [models.Index(fields=["dataset", "split", "label"])]

    def __str__(self) -> str:
        return f"{self.dataset_id}: image {self.image_id} {self.label} ({self.split})"
