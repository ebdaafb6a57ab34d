"""Slide (one peripheral blood smear) and how it was captured."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

from cases.models.patients import Patient, code_validator


class CaptureDevice(models.Model):
    camera = models.CharField(max_length=80)
    microscope = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["camera", "microscope"]
        constraints = [models.UniqueConstraint(fields=["camera", "microscope"], name="device_once")]

    def __str__(self) -> str:
        return f"{self.camera} on {self.microscope}" if self.microscope else self.camera


class Slide(models.Model):
    """One smear of one patient with every acquisition field that the paper names; empty means not known."""

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

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code
