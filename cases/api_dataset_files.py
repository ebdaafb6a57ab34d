"""The REST API of datasets as files: a version as a zip, and a zip as a cohort."""

from __future__ import annotations

import io
import uuid
from typing import cast

from django.http import StreamingHttpResponse, UnreadablePostError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api import RawBody
from cases.models import Cohort
from cases.selectors import datasets as selectors
from cases.services.archives import Readable
from cases.services.dataset_exports import LAYOUTS, dataset_export, export_name
from cases.services.dataset_imports import Target
from cases.services.dataset_uploads import dataset_receive
from leukoweb.core.api_serializers import ErrorSerializer, StrictSerializer
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, zip_response
from leukoweb.core.jobs.bell import ring

_REFUSALS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class DatasetExportIn(StrictSerializer):
    layout = serializers.ChoiceField(choices=list(LAYOUTS.items()), default="folders")


class DatasetExport(APIView):
    """The images of a version with their labels as a zip, written while it is sent. Who exports has seen the labels."""

    required_action = "datasets.view"

    @extend_schema(request=DatasetExportIn, responses={(200, "application/zip"): OpenApiTypes.BINARY, **_REFUSALS})
    def post(self, request: Request, pk: uuid.UUID) -> StreamingHttpResponse:
        version = selectors.dataset_get(pk)
        body = DatasetExportIn(data=request.data)
        body.is_valid(raise_exception=True)
        layout = body.validated_data["layout"]
        return zip_response(
            dataset_export(actor=person(request), version=version, layout=layout), export_name(version, layout)
        )


class DatasetImportIn(StrictSerializer):
    """Where the dataset goes, in the address: the body is the archive."""

    cohort = serializers.CharField(max_length=80, help_text="Made where it is missing")
    purpose = serializers.ChoiceField(choices=Cohort.Purpose.choices, default=Cohort.Purpose.DEVELOPMENT)
    prefix = serializers.CharField(
        max_length=20, default="", allow_blank=True, trim_whitespace=False,
        help_text="Put before every patient and slide code, where codes are taken",
    )  # fmt: skip


class DatasetImportOut(serializers.Serializer):  # type: ignore[type-arg]
    """``job`` takes the images in; ask ``jobs/<id>/`` how far it is."""

    job = serializers.UUIDField()
    n_images = serializers.IntegerField(help_text="Named by the list")


class ZipBody(RawBody):
    media_type = "application/zip"


class DatasetImport(APIView):
    """A zip as an export makes it, or with any ``images.csv`` (file, patient, slide, label), as the raw body.

    The list, codes and labels are checked before the answer; nothing is kept of what is refused. The job decodes
    every image before it writes the first row.
    """

    required_action = "datasets.import"
    parser_classes = [ZipBody, RawBody]

    @extend_schema(
        parameters=[DatasetImportIn],
        request={"application/zip": OpenApiTypes.BINARY, "application/octet-stream": OpenApiTypes.BINARY},
        responses={202: DatasetImportOut, 413: ErrorSerializer, 422: ErrorSerializer, **_REFUSALS},
    )
    def post(self, request: Request) -> Response:
        given = DatasetImportIn(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        length = request.META.get("CONTENT_LENGTH") or ""
        body = cast(Readable, request.data) if length.isdecimal() and int(length) else io.BytesIO()
        try:
            job, n = dataset_receive(
                actor=person(request), stream=body, size_bytes=int(length) if length.isdecimal() else None,
                target=Target(**given.validated_data),
            )  # fmt: skip
        except UnreadablePostError as error:
            raise DomainError("The body ended early.", code="E_INCOMPLETE", hint="Send the archive again.") from error
        ring(job.pk)
        return Response(DatasetImportOut({"job": job.pk, "n_images": n}).data, status=202)
