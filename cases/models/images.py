"""HpfImage: one microscope field, stored under the hash of its cleaned bytes."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models.slides import Slide
from leukoweb.core.blindfold import HidesByImage, HidesBySlide


class HpfImage(models.Model):
    """A field at its place in the capture order of a slide. Pixels live in core.storage under ``content_sha256``."""

    class Format(models.TextChoices):
        JPEG = "JPEG", "JPEG"
        PNG = "PNG", "PNG"

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False, help_text="Random; used in addresses")
    slide = models.ForeignKey(Slide, on_delete=models.PROTECT, related_name="images")
    position = models.PositiveIntegerField(help_text="Capture order within the slide, from 1")
    content_sha256 = models.CharField(max_length=64, db_index=True, help_text="Of the cleaned bytes as stored")
    received_sha256 = models.CharField(max_length=64, db_index=True, help_text="Of the bytes as they came")
    format = models.CharField(max_length=4, choices=Format.choices)
    width_px = models.PositiveIntegerField()
    height_px = models.PositiveIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    phash = models.CharField(max_length=16, blank=True, help_text="64-bit perceptual hash, hexadecimal")
    notes = models.JSONField(default=list, help_text="[{code, message}]: what was changed or looks odd")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(auto_now_add=True)

    objects = HidesBySlide["HpfImage"]()

    class Meta:
        ordering = ["slide", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["slide", "content_sha256"], name="image_once_per_slide"),
            models.CheckConstraint(condition=models.Q(width_px__gt=0, height_px__gt=0), name="image_has_pixels"),
        ]
        indexes = [models.Index(fields=["slide", "position"])]

    def __str__(self) -> str:
        return f"{self.slide_id} field {self.position}"


class TextHint(models.Model):
    """Where one image content seems to hold burnt-in text. Only places are kept: the text may be an identity."""

    content_sha256 = models.CharField(max_length=64)
    version = models.PositiveSmallIntegerField(help_text="Of cases.text_hint")
    boxes = models.JSONField(default=list, help_text="[{x, y, width, height, score}] in pixels of the image")
    looked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["content_sha256", "version"], name="text_hint_once")]

    def __str__(self) -> str:
        return f"{len(self.boxes)} places with text in {self.content_sha256[:12]}"


class ImageOriginalName(models.Model):
    """The file's own name: may hold an identity or a diagnosis, so it stands apart and few may see it."""

    image = models.OneToOneField(HpfImage, on_delete=models.CASCADE, related_name="original_name")
    name = models.CharField(max_length=500)

    objects = HidesByImage["ImageOriginalName"]()

    def __str__(self) -> str:
        return f"name of image {self.image_id}"
