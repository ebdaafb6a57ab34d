"""Reading: one reader's final answer on one case in one session. Sealed and insert-only."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from leukoweb.core.guards import append_only
from reader_study.models.sessions import ReadingSession
from reader_study.models.studies import StudyCase


@append_only()
class Reading(models.Model):
    """Filled at the seal of a session, or by an import. Unique per session (reader, number) and case."""

    session = models.ForeignKey(ReadingSession, on_delete=models.PROTECT, related_name="readings")
    study_case = models.ForeignKey(StudyCase, on_delete=models.PROTECT, related_name="readings")
    position = models.PositiveIntegerField(help_text="Place in the session's order; for drift and fatigue")
    diagnosis = models.CharField(max_length=40, blank=True, help_text="A class of the protocol; empty: cannot decide")
    cannot_decide = models.BooleanField(default=False)
    reason = models.CharField(max_length=300, blank=True)
    confidence = models.PositiveSmallIntegerField(null=True, blank=True)
    recognised = models.BooleanField(default=False, help_text="The reader recognised the case or saw information")
    recognised_note = models.CharField(max_length=300, blank=True)
    key_images = models.JSONField(default=list, help_text="Capture positions of the fields marked as key images")
    comment = models.TextField(blank=True)
    display = models.JSONField(default=dict, help_text="Brightness and contrast in use when answering")
    n_images = models.PositiveIntegerField()
    n_viewed = models.PositiveIntegerField()
    coverage = models.FloatField(
        null=True, blank=True, help_text="Share of the fields' area seen at half size or closer"
    )
    active_ms = models.PositiveBigIntegerField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField(auto_now_add=True)
    imported = models.BooleanField(default=False)
    reread = models.BooleanField(default=False, help_text="Panel re-read after unblinding; never in the main analysis")

    class Meta:
        ordering = ["session_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["session", "study_case"], name="reading_once"),
            models.CheckConstraint(
                condition=models.Q(cannot_decide=True, diagnosis="")
                | models.Q(cannot_decide=False) & ~models.Q(diagnosis=""),
                name="reading_decides_or_says_why_not",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}/{self.study_case_id}"


@append_only()
class SessionSeal(models.Model):
    """The signature under a session: after it nothing of the session changes."""

    session = models.OneToOneField(ReadingSession, on_delete=models.PROTECT, related_name="seal")
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    signed_name = models.CharField(max_length=200)
    meaning = models.CharField(max_length=200)
    n_readings = models.PositiveIntegerField()
    readings_sha256 = models.CharField(max_length=64, help_text="Of the canonical JSON of its readings")
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"seal of {self.session_id}"
