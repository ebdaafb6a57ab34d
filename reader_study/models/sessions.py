"""Reading sessions: the stored order, the tokens, and the draft answers of an open session.

These are the only tables of a study that a reader's (blind) request may touch, besides inserting into Reading.
They hold no patient, no file name and no other person's answer.
"""

from __future__ import annotations

import secrets

from django.db import models

from leukoweb.core.guards import append_only
from reader_study.models import eligible
from reader_study.models.studies import StudyReader


def new_token() -> str:
    """128 random bits, safe in an address."""
    return secrets.token_urlsafe(16)


@append_only(
    except_columns=(
        "state", "opens_at", "opened_at", "sealed_at", "current", "rules", "washout_days", "reminded_at",
    ),
    insert_if=eligible.SESSION, refusal=eligible.REFUSAL,
)  # fmt: skip
class ReadingSession(models.Model):
    """One pass of one reader over all cases. A repeat is a session of its own with new order and new tokens."""

    class State(models.TextChoices):
        PLANNED = "planned", "Not opened yet"
        OPEN = "open", "Open"
        SEALED = "sealed", "Sealed"
        VOID = "void", "Void (reader replaced or withdrawn)"

    class Arm(models.TextChoices):
        BLINDED = "blinded", "Blinded"
        AI_ASSISTED = "ai_assisted", "With AI result"

    token = models.CharField(max_length=32, unique=True, default=new_token)
    reader = models.ForeignKey(StudyReader, on_delete=models.PROTECT, related_name="sessions")
    number = models.PositiveSmallIntegerField(help_text="1, 2, ... in the order of the protocol")
    arm = models.CharField(max_length=12, choices=Arm.choices, default=Arm.BLINDED)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    seed = models.PositiveBigIntegerField(help_text="The stored orders regenerate from it")
    opens_at = models.DateTimeField(null=True, blank=True, help_text="Earliest, when the washout of every case is over")
    opened_at = models.DateTimeField(null=True, blank=True)
    sealed_at = models.DateTimeField(null=True, blank=True)
    current = models.PositiveIntegerField(default=1, help_text="Position of the case that is being read")
    rules = models.JSONField(default=dict, help_text="What the reader's pages may know of the locked protocol, frozen")
    washout_days = models.PositiveIntegerField(default=0, help_text="Between this session and the reader's next one")
    reminded_at = models.DateTimeField(null=True, blank=True, help_text="When the mail that it is open was sent")
    imported = models.BooleanField(default=False)

    class Meta:
        ordering = ["reader_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["reader", "number"], name="session_number_once"),
            models.CheckConstraint(
                condition=models.Q(opened_at=None)
                | models.Q(opens_at=None)
                | models.Q(opened_at__gte=models.F("opens_at")),
                name="session_opens_after_washout",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reader_id}-{self.number}"


@append_only(except_columns=("opened_at", "last_at", "active_ms", "gone_at"))
class SessionCase(models.Model):
    """A case at its place in a session, under a random token. Which patient it is stands in CaseIdentity."""

    session = models.ForeignKey(ReadingSession, on_delete=models.PROTECT, related_name="cases")
    position = models.PositiveIntegerField()
    token = models.CharField(max_length=32, unique=True, default=new_token)
    training = models.BooleanField(default=False)
    n_images = models.PositiveIntegerField()
    opened_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(
        null=True, blank=True, help_text="Last shown or answered: the washout counts from here"
    )
    active_ms = models.PositiveBigIntegerField(default=0)
    gone_at = models.DateTimeField(
        null=True, blank=True, help_text="The patient was withdrawn before the session was finished: nothing to read"
    )

    class Meta:
        ordering = ["session_id", "position"]
        constraints = [models.UniqueConstraint(fields=["session", "position"], name="session_position_once")]

    def __str__(self) -> str:
        return f"{self.session_id} case {self.position}"


@append_only(insert_if=eligible.IDENTITY, refusal=eligible.REFUSAL)
class CaseIdentity(models.Model):
    """Sealed: which patient a session's case is."""

    case = models.OneToOneField(SessionCase, on_delete=models.PROTECT, related_name="identity")
    study_case = models.ForeignKey("reader_study.StudyCase", on_delete=models.PROTECT, related_name="session_cases")

    def __str__(self) -> str:
        return f"{self.case_id}"


@append_only(except_columns=("seen_at", "seen_ms", "coverage"))
class SessionImage(models.Model):
    """A field of a case under a random token, with all that is needed to serve it without any other table."""

    case = models.ForeignKey(SessionCase, on_delete=models.PROTECT, related_name="images")
    position = models.PositiveIntegerField(help_text="Place in this session's order")
    capture_position = models.PositiveIntegerField(
        help_text="Place in the case's manifest, from 1; stays on the server"
    )
    token = models.CharField(max_length=32, unique=True, default=new_token)
    content_sha256 = models.CharField(max_length=64, help_text="Where the bytes lie; never leaves the server")
    format = models.CharField(max_length=4)
    width_px = models.PositiveIntegerField()
    height_px = models.PositiveIntegerField()
    pixel_size_um = models.FloatField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    seen_ms = models.PositiveBigIntegerField(default=0)
    coverage = models.CharField(
        max_length=16, default="0" * 16, help_text="64 bits, 8 x 8 parts of the field: seen at half its size or closer"
    )

    class Meta:
        ordering = ["case_id", "position"]
        constraints = [models.UniqueConstraint(fields=["case", "position"], name="session_image_position_once")]

    def __str__(self) -> str:
        return f"{self.case_id} field {self.position}"


@append_only()
class SessionAssistance(models.Model):
    """What the AI said of a case, copied here when the session was made, and only for sessions that show it.

    So a reader's request needs none of the tables in which results stand, in either arm.
    """

    case = models.OneToOneField(SessionCase, on_delete=models.PROTECT, related_name="assistance")
    payload = models.JSONField(help_text="{results: [{diagnosis, title, sentences, deciding}], pipeline, synthetic}")

    def __str__(self) -> str:
        return f"AI result for {self.case_id}"


class DraftReading(models.Model):
    """The answer as it stands while the session is open; deleted when the seal has copied it into Reading."""

    case = models.OneToOneField(SessionCase, on_delete=models.PROTECT, related_name="draft")
    version = models.PositiveIntegerField(default=0, help_text="Compare-and-swap for two tabs")
    answer = models.JSONField(default=dict, help_text="Validated by reader_study.answers")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"draft of {self.case_id}"


@append_only()
class DraftEvent(models.Model):
    """Every accepted change of a draft, with old and new value. One row per idempotency key."""

    case = models.ForeignKey(SessionCase, on_delete=models.PROTECT, related_name="events")
    key = models.UUIDField()
    version = models.PositiveIntegerField(help_text="The draft's version after this change")
    old = models.JSONField()
    new = models.JSONField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["case", "key"], name="draft_event_once"),
            models.UniqueConstraint(fields=["case", "version"], name="draft_event_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} v{self.version}"
