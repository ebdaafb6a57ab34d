"""The REST API of uploads and images."""

from __future__ import annotations

import io
import uuid
from typing import Any, cast

from django.http import UnreadablePostError
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases import selectors
from cases.api_serializers import (
    FileIn,
    FilesIn,
    ImageOut,
    ItemOut,
    ItemsOut,
    ReceivedOut,
    UploadCreatedOut,
    UploadIn,
    UploadOut,
    UploadStateOut,
)
from cases.models import UploadItem
from cases.services import uploads
from cases.services.archives import Readable, archive_receive
from leukoweb.core.api import Pages
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.exceptions import DomainError, TooLarge
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring
from leukoweb.core.openapi import paged

_REFUSALS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class SlideImages(APIView):
    """Images of a slide in capture order, for the viewer."""

    required_action = "slides.view"

    @extend_schema(responses={200: ImageOut(many=True), 404: ErrorSerializer})
    def get(self, request: Request, pk: int) -> Response:
        return Response(ImageOut(selectors.image_list(selectors.slide_get(pk)), many=True).data)


class UploadList(APIView):
    """Open an upload, or list one's own unfinished ones."""

    required_action = "slides.upload"

    @extend_schema(responses={200: UploadOut(many=True)})
    def get(self, request: Request) -> Response:
        return Response(UploadOut(selectors.open_uploads(person(request)), many=True).data)

    @extend_schema(request=UploadIn, responses={201: UploadCreatedOut, **_REFUSALS})
    def post(self, request: Request) -> Response:
        body = UploadIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        batch = uploads.upload_batch_create(
            actor=person(request),
            cohort=selectors.cohort_get(data["cohort"]) if "cohort" in data else None,
            slide=selectors.slide_get(data["slide"]) if "slide" in data else None,
            slides=[(row["patient"], row["slide"]) for row in data["slides"]],
        )
        items = uploads.upload_items_add(batch=batch, files=[FileIn.announced(row) for row in data["files"]])
        return Response({**UploadOut(batch).data, "items": ItemOut(items, many=True).data}, status=201)


class UploadDetail(APIView):
    """How far an upload is."""

    required_action = "slides.upload"

    @extend_schema(responses={200: UploadStateOut, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        batch = uploads.batch_of(person(request), pk)
        batch.counts = selectors.upload_counts(batch)  # type: ignore[attr-defined]
        batch.slides = selectors.upload_slides(batch)  # type: ignore[attr-defined]
        return Response(UploadStateOut(batch).data)


class UploadClose(APIView):
    """Give up what is missing."""

    required_action = "slides.upload"

    @extend_schema(request=None, responses={200: UploadOut, **_REFUSALS})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        batch = uploads.batch_of(person(request), pk)
        return Response(UploadOut(uploads.upload_batch_close(actor=person(request), batch=batch)).data)


class UploadItems(APIView):
    """Announce more files, or read what became of those announced."""

    required_action = "slides.upload"

    @paged(ItemOut, OpenApiParameter("state", str, description="Only files in this state"), name="uploads_items_list")
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Paged; ``?state=refused`` narrows."""
        rows = uploads.batch_of(person(request), pk).items.order_by("id")
        state = request.query_params.get("state", "")
        if state and state not in UploadItem.State.values:
            raise DomainError(
                f"There is no state {state!r:.40}.", field="state", hint=f"One of {', '.join(UploadItem.State.values)}."
            )
        if state:
            rows = rows.filter(state=state)
        pages = Pages()
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ItemOut(page, many=True).data)

    @extend_schema(request=FilesIn, responses={200: ItemsOut, **_REFUSALS})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        body = FilesIn(data=request.data)
        body.is_valid(raise_exception=True)
        files = [FileIn.announced(row) for row in body.validated_data["files"]]
        items = uploads.upload_items_add(batch=uploads.batch_of(person(request), pk), files=files)
        return Response({"items": ItemOut(items, many=True).data})


class RawBody(BaseParser):
    """Hands the stream on unread: how much of it may be read is known only once the item is."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


class UploadItemBody(APIView):
    """The bytes of one announced file, as the raw body (``application/octet-stream``, with Content-Length)."""

    required_action = "slides.upload"
    parser_classes = [RawBody]

    @extend_schema(
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: ReceivedOut, 202: ReceivedOut, 413: ErrorSerializer, 422: ErrorSerializer, **_REFUSALS},
    )
    def put(self, request: Request, pk: uuid.UUID, item_id: int) -> Response:
        batch = uploads.batch_of(person(request), pk)
        items = UploadItem.objects.select_related("slide__patient", "batch__cohort")
        item = get_object_or_404(items, pk=item_id, batch=batch, archive=None)
        _require_length(request, item)
        # What RawBody handed on; an empty body reaches no parser.
        body = cast(Readable, request.data) if item.size_bytes else io.BytesIO()
        try:
            if item.is_archive:
                return self._archive(request, item, body)
            data = body.read(item.size_bytes + 1)
        except UnreadablePostError as error:
            raise DomainError("The body ended early.", code="E_INCOMPLETE", hint="Send the file again.") from error
        item, added = uploads.upload_item_receive(actor=person(request), item=item, data=data)
        return Response(ReceivedOut({"item": item, "warnings": added.warnings if added else ()}).data)

    def _archive(self, request: Request, item: UploadItem, body: Readable) -> Response:
        job = archive_receive(actor=person(request), item=item, stream=body)
        ring(job.pk)
        return Response(ReceivedOut({"item": item, "warnings": ()}).data, status=202)


def _require_length(request: Request, item: UploadItem) -> None:
    """Refuse by the header, before a byte of the body is read."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or "")
    except ValueError as error:
        message = "The length of the body is not stated."
        raise DomainError(message, code="E_LENGTH", hint="Send Content-Length.") from error
    limit = uploads.bytes_max(item)
    if length > limit:
        raise TooLarge(
            f"The file is too large: {length / 1e6:.1f} MB > {limit / 1e6:.0f} MB.", hint="Send single fields."
        )
    if length != item.size_bytes:
        raise uploads.ChecksumDiffers(
            f"{length:,} bytes come, {item.size_bytes:,} were announced.", hint="Choose the file again."
        )
