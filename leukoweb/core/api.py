"""Shared pieces of the REST API: permissions by action, strict JSON, one error shape, bounded pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from leukoweb.core.exceptions import DomainError
from leukoweb.core.numbers import json_strict
from leukoweb.core.permissions import has_action

if TYPE_CHECKING:
    from rest_framework.views import APIView  # DRF imports this module while it makes APIView

MAX_DEPTH = 20
MAX_BODY_BYTES = 8 * 1024 * 1024


class HasAction(BasePermission):
    """An API view names its action in ``required_action``; without one it is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return has_action(request.user, getattr(view, "required_action", ""))


class StrictJSONParser(BaseParser):
    """JSON without the surprises: bounded depth and size, no duplicate keys, no NaN, no lone surrogates or NUL."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise DomainError(f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB.", code="E_TOO_LARGE")
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DomainError(f"The body is not UTF-8 (byte {error.start}).", code="E_ENCODING") from error
        if _depth(text) > MAX_DEPTH:
            raise DomainError(f"The JSON is nested deeper than {MAX_DEPTH} levels.", code="E_JSON_DEPTH")
        try:
            value = json_strict(text, object_pairs_hook=_unique_keys)
        except json.JSONDecodeError as error:
            raise DomainError(
                f"The JSON is broken at line {error.lineno}, column {error.colno}: {error.msg}.", code="E_JSON"
            ) from error
        return value


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside strings; counts before the recursive parser is let near."""
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise DomainError(f"The key {key!r} stands twice in one object.", code="E_JSON_DUPLICATE")
        seen[key] = value
    return seen


class Pages(PageNumberPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500


_CODES = {400: "E_INVALID", 401: "E_LOGIN", 403: "E_NOT_ALLOWED", 404: "E_NOT_FOUND", 405: "E_METHOD", 406: "E_ACCEPT",
          409: "E_CONFLICT", 415: "E_MEDIA_TYPE", 429: "E_TOO_MANY"}  # fmt: skip


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal as ``{"error": {"code", "message", "field", "hint"}}``."""
    if isinstance(error, DomainError):
        return Response({"error": error.as_dict()}, status=error.status)
    if isinstance(error, Http404):
        error = exceptions.NotFound("Not found.")
    if not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.NotAuthenticated):
        error.status_code = 401
    field, message = _first_detail(error.detail)
    # The API's own check of the token; the cookie may be a moment too new or too old for a page that stayed open.
    code = "E_CSRF" if message.startswith("CSRF Failed") else _CODES.get(error.status_code, "E_INVALID")
    body = {"code": code, "message": message, "field": field, "hint": ""}
    return Response({"error": body}, status=error.status_code)


def _first_detail(detail: Any, path: str = "") -> tuple[str, str]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            return _first_detail(value, f"{path}.{key}" if path else str(key))
    if isinstance(detail, list):
        for index, value in enumerate(detail):
            if value:
                nested = isinstance(value, dict | list)
                return _first_detail(value, f"{path}[{index}]" if nested else path)
    return path.removeprefix("non_field_errors"), str(detail)
