"""The append-only, hash-chained record of who did what."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only


@append_only()
class AuditEvent(models.Model):
    """One deed. ``hash`` covers every field and the previous event's hash, so that a change anywhere shows."""

    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150, help_text="Kept beside the key: who it was then")
    action = models.CharField(max_length=60, db_index=True)
    target = models.CharField(max_length=120, blank=True, db_index=True)
    data = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.action} {self.target}"
