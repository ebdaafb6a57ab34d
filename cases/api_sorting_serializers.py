"""Shapes of the sorting API."""

from __future__ import annotations

from rest_framework import serializers

from cases.consensus import RULES
from cases.models import SortingDecision, SortingTask, Verdict
from cases.services.sorting import MAX_DECISIONS, MAX_REASON, Decision
from leukoweb.core.api_serializers import StrictSerializer

COLUMN_MAX = 2**31 - 1  # of an integer column
_ORIGINS = [one for one in SortingDecision.Origin.values if one != SortingDecision.Origin.IMPORT]


class DecisionIn(StrictSerializer):
    image = serializers.UUIDField(help_text="Random id of the image")
    key = serializers.UUIDField(help_text="Made by the client; the same image and key twice is one decision")
    seen = serializers.UUIDField(
        allow_null=True, required=False, default=None, help_text="Key of the decision that stood there when deciding"
    )
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    label = serializers.CharField(max_length=40, allow_blank=True, default="")  # type: ignore[assignment]
    reason = serializers.CharField(max_length=MAX_REASON, allow_blank=True, default="")
    origin = serializers.ChoiceField(choices=_ORIGINS, default=SortingDecision.Origin.KEY)
    shown_ms = serializers.IntegerField(min_value=0, max_value=86_400_000, allow_null=True, default=None)


class DecisionsIn(StrictSerializer):
    decisions = DecisionIn(many=True, max_length=MAX_DECISIONS)  # type: ignore[call-arg]

    def made(self) -> list[Decision]:
        return [Decision(**row) for row in self.validated_data["decisions"]]


class SavedOut(serializers.Serializer):  # type: ignore[type-arg]
    n_new = serializers.IntegerField()
    n_known = serializers.IntegerField()
    gone = serializers.ListField(child=serializers.UUIDField())


class QueueOut(serializers.Serializer):  # type: ignore[type-arg]
    """``items`` are rows of [image, slide number, camera number, verdict, label, reason, key, (said)]."""

    items = serializers.ListField(child=serializers.ListField())
    position = serializers.IntegerField(help_text="Where the person left, from 1")
    preferences = serializers.DictField()


class HistoryOut(serializers.Serializer):  # type: ignore[type-arg]
    """``decisions`` are rows of [key, image, verdict, label, reason, origin], the oldest first."""

    decisions = serializers.ListField(child=serializers.ListField())


class SeatIn(StrictSerializer):
    position = serializers.IntegerField(min_value=0, max_value=COLUMN_MAX, required=False)
    preferences = serializers.DictField(required=False)


class RuleIn(StrictSerializer):
    rule = serializers.ChoiceField(choices=list(RULES), default="adjudicated")
    version = serializers.IntegerField(min_value=1, max_value=COLUMN_MAX, default=1)
    min_decisions = serializers.IntegerField(min_value=0, max_value=COLUMN_MAX, default=0)
    panel_min = serializers.IntegerField(min_value=1, max_value=COLUMN_MAX, default=1)


class TaskIn(StrictSerializer):
    name = serializers.CharField(max_length=80)
    cohorts = serializers.ListField(child=serializers.IntegerField(), min_length=1)
    sorters = serializers.ListField(child=serializers.CharField(), help_text="User names")
    seniors = serializers.ListField(child=serializers.CharField(), default=list)
    adjudicators = serializers.ListField(child=serializers.CharField(), default=list)
    assignment = serializers.ChoiceField(choices=SortingTask.Assignment.choices, default="all")
    overlap_percent = serializers.IntegerField(min_value=0, max_value=100, default=100)
    adjudication = serializers.ChoiceField(choices=SortingTask.Adjudication.choices, default="blind")
    consensus = RuleIn(required=False)
    instructions = serializers.CharField(allow_blank=True, default="")
    taxonomy = serializers.IntegerField(required=False, help_text="Id; the paper's if left out")
    seed = serializers.IntegerField(min_value=0, max_value=2**62, required=False)


class TaskOut(serializers.ModelSerializer[SortingTask]):
    id = serializers.UUIDField(source="public_id")
    taxonomy = serializers.StringRelatedField()  # type: ignore[var-annotated]
    seed = serializers.SerializerMethodField()

    class Meta:
        model = SortingTask
        fields = ("id", "name", "taxonomy", "assignment", "overlap_percent", "adjudication", "consensus", "seed",
                  "instructions", "created_at", "closed_at")  # fmt: skip

    def get_seed(self, task: SortingTask) -> str:
        """As text: 62 bits do not survive JavaScript's numbers."""
        return str(task.seed)


class ConsensusOut(serializers.Serializer):  # type: ignore[type-arg]
    """``rows`` are [image, label, verdict, how, number of decisions]."""

    rule = serializers.DictField()
    counts = serializers.DictField(child=serializers.IntegerField())
    rows = serializers.ListField(child=serializers.ListField())
