"""What the study API says, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from reader_study.models import Study
from reader_study.selectors.studies import progress_of, with_counts


class StudyOut(serializers.Serializer):  # type: ignore[type-arg]
    """``state`` is ``reading`` once somebody has begun."""

    id = serializers.UUIDField(source="public_id")
    title = serializers.CharField()
    state = serializers.CharField(
        source="progress.state", help_text="draft, locked, reading, frozen, unblinded or stopped"
    )
    progress = serializers.CharField(source="progress.words", help_text="The state in words")
    cohort = serializers.CharField(source="cohort.name", allow_null=True, default=None)
    draft_version = serializers.IntegerField()
    closes_on = serializers.DateField(allow_null=True)
    reconstruction = serializers.BooleanField()
    n_readers = serializers.IntegerField()
    n_sessions = serializers.IntegerField(source="progress.n_sessions", help_text="Without void ones")
    n_open = serializers.IntegerField(source="progress.n_open")
    n_sealed = serializers.IntegerField(source="progress.n_sealed")

    def to_representation(self, instance: Study) -> dict[str, Any]:
        counted = hasattr(instance, "n_open")
        study: Any = instance if counted else with_counts(Study.objects.filter(pk=instance.pk)).get()
        study.progress = progress_of(study)
        shown: dict[str, Any] = super().to_representation(study)
        return shown


class StudyIn(serializers.Serializer):  # type: ignore[type-arg]
    title = serializers.CharField(max_length=160)
    protocol = serializers.JSONField(required=False, help_text="A protocol document; default: an empty one")


class DraftIn(serializers.Serializer):  # type: ignore[type-arg]
    protocol = serializers.JSONField(help_text="The whole document (schema leukoweb/protocol/1)")
    draft_version = serializers.IntegerField(min_value=0, help_text="The version that you changed")


class ProtocolOut(serializers.Serializer):  # type: ignore[type-arg]
    version = serializers.IntegerField(help_text="0: the draft")
    draft_version = serializers.IntegerField()
    sha256 = serializers.CharField()
    protocol = serializers.JSONField()
    signed_name = serializers.CharField()
    locked_at = serializers.DateTimeField(allow_null=True)


class ProblemOut(serializers.Serializer):  # type: ignore[type-arg]
    path = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField()
    line = serializers.IntegerField()


class OverlapOut(serializers.Serializer):  # type: ignore[type-arg]
    reader = serializers.CharField()
    patient = serializers.CharField()
    reason = serializers.CharField()


class ChecksOut(serializers.Serializer):  # type: ignore[type-arg]
    problems = ProblemOut(many=True)
    warnings = ProblemOut(many=True)
    overlaps = OverlapOut(many=True)
    n_patients = serializers.IntegerField()
    n_images = serializers.IntegerField()


class SignatureIn(serializers.Serializer):  # type: ignore[type-arg]
    signed_name = serializers.CharField(max_length=200)
    password = serializers.CharField(required=False, default="", max_length=500)
    code = serializers.CharField(required=False, default="", max_length=20)


class LockIn(SignatureIn):
    sha256 = serializers.CharField(help_text="Of the document that you approve")


class AmendIn(SignatureIn):
    version = serializers.IntegerField(min_value=1, help_text="Of the locked protocol that your document comes from")
    protocol = serializers.JSONField()
    reason = serializers.CharField(max_length=2000)


class ExtendIn(SignatureIn):
    closes_on = serializers.DateField(allow_null=True)
    reason = serializers.CharField(max_length=2000)


class FreezeIn(SignatureIn):
    stop_reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class UnblindIn(SignatureIn):
    reason = serializers.CharField(max_length=2000)


class ReplaceIn(SignatureIn):
    reader = serializers.CharField(max_length=20, help_text="Label of the reader who leaves")
    label = serializers.CharField(max_length=20)  # type: ignore[assignment]
    username = serializers.CharField(max_length=150)
    years = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=0, max_value=70)
    specialty = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    training = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)
    reason = serializers.CharField(max_length=2000)


class ReadingsIn(SignatureIn):
    readings = serializers.CharField(help_text="The CSV file as text", trim_whitespace=False)


class ReadingsOut(serializers.Serializer):  # type: ignore[type-arg]
    readings = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField(), help_text="Washouts too short, or not known.")


class CellOut(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    state = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True)
    at = serializers.DateTimeField(allow_null=True)


class GridRowOut(serializers.Serializer):  # type: ignore[type-arg]
    reader = serializers.CharField(source="session.reader.label")
    number = serializers.IntegerField(source="session.number")
    arm = serializers.CharField(source="session.arm")
    state = serializers.CharField(
        source="session.state")
    opens_at = serializers.DateTimeField(source="session.opens_at", allow_null=True)
    sealed_at = serializers.DateTimeField(source="session.sealed_at", allow_null=True)
    n_done = serializers.IntegerField()
    cases = CellOut(source="cells", many=True)
