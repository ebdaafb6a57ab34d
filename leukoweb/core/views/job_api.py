"""Jobs over the API."""

from __future__ import annotations

import uuid

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.exceptions import NotAllowed
from leukoweb.core.http import person
from leukoweb.core.jobs import ledger
from leukoweb.core.models import Job
from leukoweb.core.permissions import has_action


class JobSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Job
        fields = [
            "id", "kind", "title", "status", "done_units", "total_units", "unit", "note", "error_code", "error", "hint",
            "created_at", "started_at", "finished_at", "cancel_requested",
        ]  # fmt: skip


class JobDetail(APIView):
    required_action = "jobs.view"

    @extend_schema(responses={200: JobSerializer, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(JobSerializer(get_object_or_404(Job, pk=pk)).data)


class JobCancel(APIView):
    required_action = "jobs.view"

    @extend_schema(
        request=None, responses={200: JobSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        job = get_object_or_404(Job, pk=pk)
        if job.created_by_id != request.user.pk and not has_action(request.user, "jobs.cancel"):
            raise NotAllowed("Only the person who started this job, or staff, may do that.")
        return Response(JobSerializer(ledger.job_cancel(actor=person(request), job=job)).data)
