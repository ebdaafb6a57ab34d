"""Taxonomy: the sorting labels, how they look, and the maps to coarser schemes, as versioned data."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only


@append_only()
class Taxonomy(models.Model):
    """A frozen version of the labels and their maps. Version 1 of "paper" is `cases.taxonomy` written down."""

    name = models.CharField(max_length=60)
    version = models.PositiveIntegerField()
    labels = models.JSONField(help_text="[{name, title, code, colour, text_colour, key}] in sorting order")
    maps = models.JSONField(help_text="{map: {classes: [...], by_label: {label: class}}}")
    sha256 = models.CharField(max_length=64, help_text="Of the canonical JSON of labels and maps")
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="taxonomy_version_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
