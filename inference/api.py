"""Runs, results and the registry over the API."""

from __future__ import annotations

import uuid

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.models import Slide
from cases.services.exposures import exposure_record
from inference.api_serializers import (
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
from inference.services.runs import job_ids, run_request
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring


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
        for job_id in job_ids([run]):
            ring(job_id)
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


class ModelList(ListAPIView[ModelVersion]):
    required_action = "models.view"
    serializer_class = ModelSerializer
    queryset = model_list()


class PipelineList(ListAPIView[PipelineVersion]):
    required_action = "models.view"
    serializer_class = PipelineSerializer
    queryset = pipeline_list()
