"""Curation: measured quality, exclusions and settled duplicates."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from cases.models.images import HpfImage
from leukoweb.core.guards import append_only


class ImageQuality(models.Model):
    """Scores of one image content by one version of the measurement; computed by a job, excluding nothing by itself."""

    content_sha256 = models.CharField(max_length=64)
    measure_version = models.PositiveSmallIntegerField()
    sharpness = models.FloatField()
    exposure = models.FloatField(help_text="Mean luminance of the field, 0 to 1")
    clipped = models.FloatField(help_text="Share of pixels at black or white")
    stain = models.FloatField(help_text="Mean saturation of the stained pixels, 0 to 1")
    illumination = models.FloatField(help_text="Unevenness of the background, 0 = even")
    nucleated = models.FloatField(help_text="Share of the field that looks like nuclei; near 0: perhaps no white cell")
    colour = models.JSONField(default=dict, help_text="Mean and spread per channel, for drift reports")
    signature = models.BinaryField(default=b"", help_text="Small brightness pattern, compared to find alike images")
    measured_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["content_sha256", "measure_version"], name="quality_once_per_version")
        ]
        indexes = [  # lists that begin with the blurred, the dark, ... walk along them
            models.Index(fields=["measure_version", name])
            for name in ("sharpness", "exposure", "clipped", "stain", "illumination", "nucleated")
        ]

    def __str__(self) -> str:
        return f"quality of {self.content_sha256[:12]}"


@append_only()
class Exclusion(models.Model):
    """An image is taken out of curation, or taken in again. The newest row of an image counts."""

    class Reason(models.TextChoices):
        BLUR = "blur", "Out of focus"
        EXPOSURE = "exposure", "Too dark, too bright or clipped"
        STAIN = "stain", "Poor stain"
        NO_CELL = "no_cell", "No nucleated cell"
        DUPLICATE = "duplicate", "Duplicate of another image"
        TEXT = "text", "Burnt-in text"
        OTHER = "other", "Other"

    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="exclusions")
    excluded = models.BooleanField(help_text="False: taken in again")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    note = models.CharField(max_length=300, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["image", "-id"])]

    def __str__(self) -> str:
        return f"{self.image_id}: {'out' if self.excluded else 'in'} ({self.reason})"


@append_only()
class DuplicateSettlement(models.Model):
    """What was decided about two images that look the same. Stored with the smaller image id first."""

    class Outcome(models.TextChoices):
        KEEP_BOTH = "keep_both", "Different fields: keep both"
        KEEP_FIRST = "keep_first", "The same: keep the first"
        KEEP_SECOND = "keep_second", "The same: keep the second"
        DROP_BOTH = "drop_both", "Keep neither"

    first = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="+")
    second = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    note = models.CharField(max_length=300, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(first__lt=models.F("second")), name="duplicate_smaller_id_first")
        ]
        indexes = [models.Index(fields=["first", "second", "-id"])]

    def __str__(self) -> str:
        return f"{self.first_id}/{self.second_id}: {self.outcome}"
