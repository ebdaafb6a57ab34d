"""Runs, results and the registry over the API."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.models import Cohort, Slide
from cases.services.exposures import exposure_record
from inference.api_serializers import (
    CohortResultsSerializer,
    ModelSerializer,
    PipelineSerializer,
    ResultSerializer,
    RunRequestSerializer,
    RunSerializer,
)
from inference.models import ModelVersion, PipelineVersion
from inference.selectors.exports import result_as_dict
from inference.selectors.registry import model_list, pipeline_list, pipeline_named
from inference.selectors.results import result_get, result_run
from inference.services.cohort_results import cohort_export, cohort_export_name
from inference.services.interop import interop_required, result_export
from inference.services.runs import job_ids, pipeline_chosen, run_request
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.http import person, zip_response
from leukoweb.core.jobs.bell import ring_all


class RunCreate(APIView):
    """Queue a pipeline over a slide. An equal unfinished run is returned instead of a second one."""

    required_action = "inference.run"

    @extend_schema(
        request=RunRequestSerializer,
        responses={202: RunSerializer, 400: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        slide = get_object_or_404(Slide.objects.select_related("patient"), pk=pk)
        body = RunRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data.get("pipeline")
        pipeline = pipeline_named(wanted) if wanted else None
        run = run_request(actor=person(request), slide=slide, pipeline=pipeline, mode=body.validated_data["mode"])
        ring_all(job_ids([run]))
        return Response(RunSerializer(run).data, status=202)


class RunDetail(APIView):
    """State and progress of a run."""

    required_action = "slides.view"

    @extend_schema(responses={200: RunSerializer, 404: ErrorSerializer})
    def get(self, request: Request, run: uuid.UUID) -> Response:
        return Response(RunSerializer(result_run(run)).data)


class ResultDetail(APIView):
    """The result of a run. Reading it is recorded, as on the page."""

    required_action = "results.view"

    @extend_schema(responses={200: ResultSerializer, 404: ErrorSerializer})
    def get(self, request: Request, run: uuid.UUID) -> Response:
        result = result_get(run)
        exposure_record(person(request), result.run.slide.patient, "result")
        return Response(ResultSerializer(result_as_dict(result)).data)


class _Whatever(DefaultContentNegotiation):
    """These files have one form each; an Accept that names it, or any other, is met with it. Errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""


class _ResultFile(APIView):
    required_action = "results.view"
    content_negotiation_class = _Whatever
    kind = ""

    def respond(self, request: Request, run: uuid.UUID) -> HttpResponse:
        interop_required(self.kind)
        result = result_get(run)
        exposure_record(person(request), result.run.slide.patient, "result")
        file = result_export(actor=person(request), result=result, kind=self.kind)
        headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
        return HttpResponse(file.data, content_type=file.content_type, headers=headers)


class ResultFhir(_ResultFile):
    """The result as a FHIR R4 Bundle with a DiagnosticReport. Reading it is recorded, as on the page."""

    kind = "fhir"

    @extend_schema(responses={(200, "application/fhir+json"): OpenApiTypes.OBJECT, 404: ErrorSerializer})
    def get(self, request: Request, run: uuid.UUID) -> HttpResponse:
        return self.respond(request, run)


class ResultSr(_ResultFile):
    """The result as a DICOM Comprehensive SR file. Reading it is recorded, as on the page."""

    kind = "sr"

    @extend_schema(
        responses={(200, "application/dicom"): OpenApiTypes.BINARY, 404: ErrorSerializer, 503: ErrorSerializer}
    )
    def get(self, request: Request, run: uuid.UUID) -> HttpResponse:
        return self.respond(request, run)


class CohortResults(APIView):
    """The newest result of each slide of a cohort in one zip, written while it is sent: tables, FHIR or DICOM SR.

    It is recorded that who asks has seen the result of every patient in it.
    """

    required_action = "results.view"

    @extend_schema(
        request=CohortResultsSerializer,
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY, 400: ErrorSerializer, 403: ErrorSerializer,
            404: ErrorSerializer, 409: ErrorSerializer, 503: ErrorSerializer,
        },
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> StreamingHttpResponse:
        cohort = get_object_or_404(Cohort, pk=pk)
        body = CohortResultsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted, kind = body.validated_data.get("pipeline"), body.validated_data["format"]
        pipeline = pipeline_chosen(pipeline_named(wanted) if wanted else None)
        chunks = cohort_export(actor=person(request), cohort=cohort, pipeline=pipeline, kind=kind)
        return zip_response(chunks, cohort_export_name(cohort, kind))


class ModelList(ListAPIView[ModelVersion]):
    required_action = "models.view"
    serializer_class = ModelSerializer
    queryset = model_list()


class PipelineList(ListAPIView[PipelineVersion]):
    required_action = "models.view"
    serializer_class = PipelineSerializer
    queryset = pipeline_list()
