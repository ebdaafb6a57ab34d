"""Sorting: who sorts which images, in which stored order, and every decision that was ever made."""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from cases.models.images import HpfImage
from cases.models.patients import Cohort
from cases.models.taxonomies import Taxonomy
from leukoweb.core.blindfold import HidesByImage
from leukoweb.core.guards import append_only


class Verdict(models.TextChoices):
    """What can be said about an image. ``CLEARED`` takes an earlier verdict back (undo to nothing)."""

    LABEL = "label", "Labelled"
    CANNOT_CLASSIFY = "cannot_classify", "Cannot classify"
    EXCLUDE = "exclude", "Exclude"
    CLEARED = "cleared", "Undecided again"


class SortingTask(models.Model):
    """Images of some cohorts, sorted by several pathologists who do not see each other's decisions."""

    class Assignment(models.TextChoices):
        ALL = "all", "Everybody sorts every image"
        SPLIT = "split", "Each image goes to one sorter"
        OVERLAP = "overlap", "Split, with a share that goes to two"

    class Adjudication(models.TextChoices):
        BLIND = "blind", "The adjudicator does not see the sorters' decisions"
        OPEN = "open", "The adjudicator sees the sorters' decisions"

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80, unique=True)
    cohorts = models.ManyToManyField(Cohort, related_name="sorting_tasks")
    taxonomy = models.ForeignKey(Taxonomy, on_delete=models.PROTECT, related_name="+")
    assignment = models.CharField(max_length=8, choices=Assignment.choices, default=Assignment.ALL)
    overlap_percent = models.PositiveSmallIntegerField(default=100, validators=[MaxValueValidator(100)])
    adjudication = models.CharField(max_length=8, choices=Adjudication.choices, default=Adjudication.BLIND)
    consensus = models.JSONField(default=dict, help_text="Validated by cases.consensus: {rule, version, ...}")
    seed = models.PositiveBigIntegerField(validators=[MinValueValidator(0)])
    instructions = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


def new_board() -> str:
    """Random: two people of one computer must not find each other's boards, nor anything be read from the name."""
    return secrets.token_hex(16)


class SortingSeat(models.Model):
    """A person's place in a task."""

    class Part(models.TextChoices):
        SORTER = "sorter", "Sorter"
        SENIOR = "senior", "Senior sorter"
        ADJUDICATOR = "adjudicator", "Adjudicator"

    task = models.ForeignKey(SortingTask, on_delete=models.PROTECT, related_name="seats")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sorting_seats")
    part = models.CharField(max_length=12, choices=Part.choices, default=Part.SORTER)
    seed = models.PositiveBigIntegerField(help_text="Of this person's own random order")
    active = models.BooleanField(default=True)
    board = models.CharField(
        max_length=32, default=new_board, editable=False, help_text="Names the seat in browsers, where decisions wait"
    )
    last_item = models.PositiveIntegerField(default=0, help_text="Position where the person left")
    preferences = models.JSONField(default=dict, help_text="Keymap, tile size, auto-advance")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="sorting_seat_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.task_id}"


@append_only()
class SortingDecision(models.Model):
    """One verdict of one person on one image. The newest of a seat counts; earlier ones stay."""

    class Origin(models.TextChoices):
        KEY = "key", "One image"
        BULK = "bulk", "Several images at once"
        UNDO = "undo", "Undo"
        REDO = "redo", "Redo"
        IMPORT = "import", "Imported"

    seat = models.ForeignKey(SortingSeat, on_delete=models.PROTECT, related_name="decisions")
    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="decisions")
    key = models.UUIDField(help_text="Idempotency key made by the browser; the same key twice is one decision")
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    label = models.CharField(max_length=40, blank=True, help_text="A label of the task's taxonomy")
    reason = models.CharField(max_length=300, blank=True)
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.KEY)
    shown_ms = models.PositiveIntegerField(null=True, blank=True, help_text="Active time that the image was looked at")
    decided_at = models.DateTimeField(auto_now_add=True)

    objects = HidesByImage["SortingDecision"]()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["seat", "image", "key"], name="sorting_decision_once"),
            models.CheckConstraint(
                condition=models.Q(verdict="label") & ~models.Q(label="")
                | ~models.Q(verdict="label") & models.Q(label=""),
                name="sorting_label_if_labelled",
            ),
        ]
        indexes = [
            models.Index(fields=["image", "seat", "-id"]),
            models.Index(fields=["seat", "verdict"]),  # what was taken back, without looking at all that was decided
        ]

    def __str__(self) -> str:
        return f"{self.image_id}: {self.label or self.verdict}"


class SortingItem(models.Model):
    """An image in a person's queue. The order is written once; ``current`` points at the decision that counts."""

    seat = models.ForeignKey(SortingSeat, on_delete=models.CASCADE, related_name="items")
    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField(help_text="From 1, in the seat's random order")
    current = models.ForeignKey(SortingDecision, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    objects = HidesByImage["SortingItem"]()

    class Meta:
        ordering = ["seat", "position"]
        constraints = [
            models.UniqueConstraint(fields=["seat", "image"], name="sorting_item_once"),
            models.UniqueConstraint(fields=["seat", "position"], name="sorting_position_once"),
        ]
        indexes = [models.Index(fields=["seat", "current"])]  # how many are decided, without reading a row

    def __str__(self) -> str:
        return f"{self.seat_id} #{self.position}"


@append_only()
class AdjudicationDecision(models.Model):
    """What an adjudicator settled for an image; the sorters' decisions stay as they are. The newest counts."""

    task = models.ForeignKey(SortingTask, on_delete=models.PROTECT, related_name="adjudications")
    image = models.ForeignKey(HpfImage, on_delete=models.PROTECT, related_name="adjudications")
    seat = models.ForeignKey(SortingSeat, on_delete=models.PROTECT, related_name="adjudications")
    key = models.UUIDField(help_text="Idempotency key made by the browser")
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    label = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    origin = models.CharField(max_length=8, choices=SortingDecision.Origin.choices, default=SortingDecision.Origin.KEY)
    shown_ms = models.PositiveIntegerField(null=True, blank=True)
    blind = models.BooleanField(help_text="Whether the sorters' decisions were hidden")
    decided_at = models.DateTimeField(auto_now_add=True)

    objects = HidesByImage["AdjudicationDecision"]()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["seat", "image", "key"], name="adjudication_once"),
            models.CheckConstraint(
                condition=models.Q(verdict="label") & ~models.Q(label="")
                | ~models.Q(verdict="label") & models.Q(label=""),
                name="adjudication_label_if_labelled",
            ),
        ]
        indexes = [models.Index(fields=["task", "image", "-id"])]

    def __str__(self) -> str:
        return f"{self.image_id}: {self.label or self.verdict}"
