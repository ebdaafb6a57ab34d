"""What a browser announced that it will send, and what became of each file."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models.images import HpfImage
from cases.models.patients import Cohort
from cases.models.slides import Slide
from leukoweb.core.models import Job


class UploadBatch(models.Model):
    """One manifest of files; it can be resumed for as long as it is open."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="+")
    slide = models.ForeignKey(
        Slide, null=True, on_delete=models.PROTECT, related_name="+", help_text="Takes everything; null: one per folder"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="upload_batches")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"upload {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class UploadItem(models.Model):
    """One announced file. ``path`` may hold an identity: shown to the uploader and admins only.

    An archive is an item without a slide; its members are items that name it and are filled in by a worker.
    """

    class State(models.TextChoices):
        EXPECTED = "expected", "Not received yet"
        RECEIVED = "received", "Received, waiting to be unpacked"
        STORED = "stored", "Stored"
        DUPLICATE = "duplicate", "Already in this slide"
        REFUSED = "refused", "Refused"

    UNFINISHED = (State.EXPECTED, State.RECEIVED)

    batch = models.ForeignKey(UploadBatch, on_delete=models.CASCADE, related_name="items")
    slide = models.ForeignKey(Slide, null=True, on_delete=models.PROTECT, related_name="+")
    archive = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="members")
    is_archive = models.BooleanField(default=False)
    path = models.CharField(max_length=500)
    position = models.PositiveIntegerField(default=0, help_text="Place in the slide that the image will get")
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True, help_text="As announced; empty where the browser cannot hash")
    state = models.CharField(max_length=10, choices=State.choices, default=State.EXPECTED)
    code = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    hint = models.TextField(blank=True)
    image = models.ForeignKey(HpfImage, null=True, on_delete=models.SET_NULL, related_name="+")
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+", help_text="Unpacks an archive")

    class Meta:
        ordering = ["batch", "id"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "path"], name="upload_path_once"),
            models.CheckConstraint(
                condition=models.Q(is_archive=True, slide=None, archive=None)
                | models.Q(is_archive=False, slide__isnull=False),
                name="upload_archive_or_image",
            ),
        ]
        indexes = [models.Index(fields=["batch", "state"])]

    def __str__(self) -> str:
        return f"{self.batch_id} file {self.pk}"
