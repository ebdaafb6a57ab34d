"""Slide (one peripheral blood smear) and how it was captured."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

from cases.models.patients import Patient, code_validator
from leukoweb.core.blindfold import HidesByPatient


class CaptureDevice(models.Model):
    camera = models.CharField(max_length=80)
    microscope = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["camera", "microscope"]
        constraints = [models.UniqueConstraint(fields=["camera", "microscope"], name="device_once")]

    def __str__(self) -> str:
        return f"{self.camera} on {self.microscope}" if self.microscope else self.camera


class Slide(models.Model):
    """One smear of one patient with every acquisition field that the paper names; empty means not known.

    It can be read in a study once a person has looked at every field (``cases.services.reviews``); a review is void
    as soon as the fields of the slide change.
    """

    class Review(models.TextChoices):
        WAITING = "waiting", "Waits for a review"
        PASSED = "passed", "Reviewed"
        REFUSED = "refused", "Refused in review"

    code = models.CharField(max_length=60, unique=True, validators=[code_validator])
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="slides")
    device = models.ForeignKey(CaptureDevice, null=True, blank=True, on_delete=models.PROTECT, related_name="slides")
    magnification = models.PositiveIntegerField(null=True, blank=True, help_text="Total, such as 1000")
    stain = models.CharField(max_length=80, blank=True)
    slide_maker = models.CharField(max_length=80, blank=True)
    technician = models.CharField(max_length=80, blank=True, help_text="Who captured the images (initials or a code)")
    light = models.CharField(max_length=80, blank=True)
    captured_on = models.DateField(null=True, blank=True)
    capture_minutes = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    pixel_size_um = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    review = models.CharField(max_length=8, choices=Review.choices, default=Review.WAITING)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="Empty with a date: by the system, which drew the slide",
    )  # fmt: skip
    review_reason = models.CharField(max_length=500, blank=True, help_text="Why it was refused")

    objects = HidesByPatient["Slide"]()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(review="waiting", reviewed_at=None)
                | models.Q(reviewed_at__isnull=False) & ~models.Q(review="waiting"),
                name="slide_review_has_a_date",
            ),
            models.CheckConstraint(
                condition=~models.Q(review="refused") | ~models.Q(review_reason=""), name="slide_refusal_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return self.code
