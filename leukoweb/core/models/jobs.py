"""The ledger of work: this row is the truth, the broker only rings a bell."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from leukoweb.core.blindfold import OwnJobs


class Job(models.Model):
    """One piece of background work, claimed under a lease and fenced by a counter."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    queue = models.CharField(max_length=20)
    title = models.CharField(max_length=200)
    payload = models.JSONField(default=dict, help_text="Ids only")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    key = models.CharField(max_length=120, blank=True, help_text="At most one unfinished job has this key")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Starts without progress since")
    fence = models.PositiveIntegerField(
        default=0, help_text="Grows with every claim; an older worker's writes are refused"
    )
    owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    stalled_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when each start has met a full disk or a store that is away"
    )
    cancel_requested = models.BooleanField(default=False)
    done_units = models.PositiveIntegerField(default=0)
    total_units = models.PositiveIntegerField(default=0)
    unit = models.CharField(max_length=30, default="steps")
    note = models.CharField(max_length=300, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    hint = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    rung_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OwnJobs["Job"]()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=models.Q(status__in=["queued", "running"]) & ~models.Q(key=""),
                name="job_key_unfinished",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["queued", "running", "done", "failed", "cancelled"]),
                name="job_status_known",
            ),
        ]
        indexes = [models.Index(fields=["status", "queue", "created_at"]), models.Index(fields=["-created_at"])]

    def __str__(self) -> str:
        return f"{self.title} ({self.get_status_display()})"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done_units // self.total_units) if self.total_units else 0
