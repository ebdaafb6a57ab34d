"""Pieces of the API's description: pages of a list, and the one shape of every refusal."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers

from leukoweb.core.api import Pages

_PAGE = [
    OpenApiParameter("page", int, description="From 1; beyond the last one: 404"),
    OpenApiParameter("page_size", int, description=f"At most {Pages.max_page_size}; default {Pages.page_size}"),
]
METHODS = ("get", "post", "put", "patch", "delete")
REFUSALS = {
    "4XX": "Refused: the message says what is wrong and what to do. Nothing was changed",
    "503": "Something that the answer needs is not there now. Nothing was changed",
    "507": "No space is left. Nothing was stored",
}


def paged(
    kind: type[serializers.Serializer],  # type: ignore[type-arg]
    *more: OpenApiParameter,
    name: str | None = None,
) -> Any:
    """Decorator of a view's method that answers one page of rows; ``name`` of the operation, if its own collides."""
    page = inline_serializer(
        f"{kind.__name__}Page",
        {
            "count": serializers.IntegerField(),
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": kind(many=True),
        },
    )
    return extend_schema(operation_id=name, responses={200: page}, parameters=[*_PAGE, *more])


def refusals_of_every_operation(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Hook of drf-spectacular: whatever an operation refuses has the one shape, so the description says it once."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in result["paths"].values():
        for method in METHODS:
            if method in path:
                for status, words in REFUSALS.items():
                    path[method]["responses"].setdefault(status, {"description": words, "content": error})
    return result
