"""Study, its locked protocol versions and its readers."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cases.models import Cohort
from leukoweb.core.guards import append_only, insert_only_if
from reader_study.models import eligible


class Study(models.Model):
    """A reader study. What binds is the newest ProtocolVersion; ``draft`` is what the designer edits before a lock."""

    class State(models.TextChoices):
        DRAFT = "draft", "Being designed"
        LOCKED = "locked", "Protocol locked, reading may begin"
        READING = "reading", "Reading"
        FROZEN = "frozen", "Data frozen, still blind"
        UNBLINDED = "unblinded", "Unblinded"
        STOPPED = "stopped", "Stopped early"

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=160, unique=True)
    cohort = models.ForeignKey(Cohort, null=True, blank=True, on_delete=models.PROTECT, related_name="studies")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    draft = models.JSONField(default=dict, help_text="Protocol document (reader_study.protocol), being edited")
    draft_version = models.PositiveIntegerField(default=0, help_text="Compare-and-swap for two designers")
    reconstruction = models.BooleanField(default=False, help_text="Rebuilt from published tables; not original data")
    closes_on = models.DateField(null=True, blank=True)
    coordinators = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="coordinated_studies")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.title


insert_only_if("reader_study.Study_coordinators", eligible.COORDINATOR, "this coordinator reads in the study")


@append_only()
class ProtocolVersion(models.Model):
    """A locked protocol with its signature; an amendment is a new version with a reason."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="protocols")
    version = models.PositiveIntegerField()
    document = models.JSONField(help_text="Canonical protocol document")
    sha256 = models.CharField(max_length=64)
    amendment_reason = models.TextField(blank=True)
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    signed_name = models.CharField(max_length=200)
    meaning = models.CharField(max_length=200)
    locked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["study", "version"], name="protocol_version_once"),
            models.CheckConstraint(
                condition=models.Q(version=1) | ~models.Q(amendment_reason=""), name="protocol_amendment_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.study_id} protocol {self.version}"


class StudyCase(models.Model):
    """Sealed. A patient of the study under a code of its own; written at the lock, never changed after."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="cases")
    patient = models.ForeignKey("cases.Patient", on_delete=models.PROTECT, related_name="study_cases")
    code = models.CharField(max_length=20, help_text="Random code for tables and exports; never shown to a reader")
    training = models.BooleanField(default=False, help_text="Read before the real ones; never analysed")
    manifest = models.JSONField(help_text="[{image, content_sha256}] in capture order, frozen")
    manifest_sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["study", "code"]
        constraints = [
            models.UniqueConstraint(fields=["study", "patient"], name="study_patient_once"),
            models.UniqueConstraint(fields=["study", "code"], name="study_code_once"),
        ]

    def __str__(self) -> str:
        return self.code


@append_only(
    except_columns=("years", "specialty", "training", "time_zone", "consented_at", "withdrawn_at"),
    insert_if=eligible.READER, refusal="this reader coordinates the study",
)  # fmt: skip
class StudyReader(models.Model):
    """A reader with the profile that a publication reports."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="readers")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="study_readers",
        help_text="Null: imported from a study that was read elsewhere",
    )  # fmt: skip
    label = models.CharField(max_length=20, help_text="As in tables, such as P1")
    years = models.PositiveSmallIntegerField(null=True, blank=True)
    specialty = models.CharField(max_length=120, blank=True)
    training = models.CharField(max_length=300, blank=True)
    replaces = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaced_by")
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="Of the reader, for dates on pages and in mails"
    )
    consented_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study_id", "label"]
        constraints = [
            models.UniqueConstraint(fields=["study", "label"], name="study_reader_label_once"),
            models.UniqueConstraint(fields=["study", "user"], name="study_reader_user_once"),
        ]

    def __str__(self) -> str:
        return self.label


@append_only()
class Unblinding(models.Model):
    """From here on the coordinators may see answers beside the reference. Happens once, with a reason."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="unblinding")
    reason = models.TextField()
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    signed_name = models.CharField(max_length=200)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"unblinding of {self.study_id}"
