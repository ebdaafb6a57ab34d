"""Serializers that every API uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Refuses fields that it does not know, so that nothing is assigned by surprise."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := set(data) - set(self.fields)):
            raise serializers.ValidationError(dict.fromkeys(sorted(unknown), "Unknown field."), code="unknown")
        return super().to_internal_value(data)


class ErrorBody(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    message = serializers.CharField()
    field = serializers.CharField(allow_blank=True)
    hint = serializers.CharField(allow_blank=True)


class ErrorSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What every refusal looks like (used in the OpenAPI description)."""

    error = ErrorBody()
