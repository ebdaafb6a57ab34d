"""Studies over the API, for their coordinators. Readers have no list, no study and no answer here."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from leukoweb.core.api import Pages
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.exceptions import NotFound
from leukoweb.core.http import person
from leukoweb.core.openapi import paged
from leukoweb.core.signing import Signature, signature
from reader_study import study_api_serializers as shapes
from reader_study.models import Study
from reader_study.protocol import canonical, protocol_sha256
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.grid import study_grid
from reader_study.selectors.studies import protocol_current, study_get, study_list
from reader_study.selectors.washout import washout_warnings
from reader_study.services import conduct, guard, imports, locking, studies

_REFUSALS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class StudyView(APIView):
    required_action = "studies.manage"

    def study(self, request: Request, public_id: uuid.UUID) -> Study:
        return study_get(public_id, for_user=person(request))

    def read(self, request: Request, kind: type[Serializer]) -> dict[str, Any]:  # type: ignore[type-arg]
        body = kind(data=request.data)
        body.is_valid(raise_exception=True)
        data: dict[str, Any] = dict(body.validated_data)
        return data

    def signed(self, request: Request, data: dict[str, Any], meaning: str) -> Signature:
        """Take the signer's proof out of the body and check it."""
        name, password, code = (data.pop(key) for key in ("signed_name", "password", "code"))
        return signature(request._request, name=name, meaning=meaning, password=password, code=code)


class StudyList(StudyView):
    """The studies that one coordinates, and a new one."""

    @paged(shapes.StudyOut, name="studies_list")
    def get(self, request: Request) -> Response:
        pages = Pages()
        page = pages.paginate_queryset(study_list(person(request)), request, view=self)
        return pages.get_paginated_response(shapes.StudyOut(page, many=True).data)

    @extend_schema(request=shapes.StudyIn, responses={201: shapes.StudyOut, **_REFUSALS})
    def post(self, request: Request) -> Response:
        data = self.read(request, shapes.StudyIn)
        document = canonical(data["protocol"]) if "protocol" in data else None
        study = studies.study_create(actor=person(request), title=data["title"], document=document)
        return Response(shapes.StudyOut(study).data, status=201)


class StudyDetail(StudyView):
    @extend_schema(responses={200: shapes.StudyOut, 404: ErrorSerializer})
    def get(self, request: Request, public_id: uuid.UUID) -> Response:
        return Response(shapes.StudyOut(self.study(request, public_id)).data)


class StudyProtocol(StudyView):
    """The newest locked protocol, or the draft; PUT replaces the draft."""

    @extend_schema(responses={200: shapes.ProtocolOut, 404: ErrorSerializer})
    def get(self, request: Request, public_id: uuid.UUID) -> Response:
        return Response(shapes.ProtocolOut(_protocol(self.study(request, public_id))).data)

    @extend_schema(request=shapes.DraftIn, responses={200: shapes.ProtocolOut, **_REFUSALS})
    def put(self, request: Request, public_id: uuid.UUID) -> Response:
        data = self.read(request, shapes.DraftIn)
        study = studies.draft_save(
            actor=person(request), study=self.study(request, public_id), document=data["protocol"],
            version=data["draft_version"],
        )  # fmt: skip
        return Response(shapes.ProtocolOut(_protocol(study)).data)


def _protocol(study: Study) -> dict[str, Any]:
    locked = protocol_current(study)
    document = canonical(locked.document if locked else study.draft)
    return {
        "version": locked.version if locked else 0, "draft_version": study.draft_version, "protocol": document,
        "sha256": protocol_sha256(document), "signed_name": locked.signed_name if locked else "",
        "locked_at": locked.locked_at if locked else None,
    }  # fmt: skip


class StudyChecks(StudyView):
    """What stands between the draft and a lock."""

    @extend_schema(responses={200: shapes.ChecksOut, 404: ErrorSerializer})
    def get(self, request: Request, public_id: uuid.UUID) -> Response:
        study = self.study(request, public_id)
        found = feasibility(study, study.draft)
        overlaps = [
            {"reader": one.label, "patient": overlap.patient, "reason": overlap.reason}
            for one in found.refused
            for overlap in one.overlaps
        ]
        body = {
            "problems": [problem.as_dict() for problem in found.problems],
            "warnings": [warning.as_dict() for warning in found.warnings], "overlaps": overlaps,
            "n_patients": len(found.cases.patients), "n_images": found.cases.n_images,
        }  # fmt: skip
        return Response(shapes.ChecksOut(body).data)


class StudyLock(StudyView):
    @extend_schema(request=shapes.LockIn, responses={201: shapes.ProtocolOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.LockIn)
        signed = self.signed(request, data, guard.LOCK_MEANING)
        locking.study_lock(actor=person(request), study=study, signature=signed, **data)
        return Response(shapes.ProtocolOut(_protocol(study)).data, status=201)


class StudyAmend(StudyView):
    @extend_schema(request=shapes.AmendIn, responses={201: shapes.ProtocolOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.AmendIn)
        signed = self.signed(request, data, guard.AMEND_MEANING)
        locking.protocol_amend(
            actor=person(request), study=study, base=data["version"], document=data["protocol"], reason=data["reason"],
            signature=signed,
        )  # fmt: skip
        return Response(shapes.ProtocolOut(_protocol(study)).data, status=201)


class StudyExtend(StudyView):
    @extend_schema(request=shapes.ExtendIn, responses={200: shapes.StudyOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.ExtendIn)
        signed = self.signed(request, data, guard.AMEND_MEANING)
        study = conduct.study_extend(actor=person(request), study=study, signature=signed, **data)
        return Response(shapes.StudyOut(study).data)


class StudyReplace(StudyView):
    @extend_schema(request=shapes.ReplaceIn, responses={201: shapes.ProtocolOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.ReplaceIn)
        reader = study.readers.filter(label=data.pop("reader")).first()
        if reader is None:
            raise NotFound("This study has no such reader.", field="reader")
        signed = self.signed(request, data, guard.AMEND_MEANING)
        reason = data.pop("reason")
        conduct.reader_replace(
            actor=person(request), reader=reader, replacement=data, reason=reason, signature=signed
        )  # fmt: skip
        return Response(shapes.ProtocolOut(_protocol(study)).data, status=201)


class StudyFreeze(StudyView):
    @extend_schema(request=shapes.FreezeIn, responses={200: shapes.StudyOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.FreezeIn)
        signed = self.signed(request, data, guard.FREEZE_MEANING)
        study = conduct.study_freeze(actor=person(request), study=study, signature=signed, **data)
        return Response(shapes.StudyOut(study).data)


class StudyUnblind(StudyView):
    @extend_schema(request=shapes.UnblindIn, responses={200: shapes.StudyOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.UnblindIn)
        signed = self.signed(request, data, guard.UNBLIND_MEANING)
        event = conduct.study_unblind(actor=person(request), study=study, signature=signed, **data)
        return Response(shapes.StudyOut(event.study).data)


class StudyImport(StudyView):
    """Readings of readers who read elsewhere."""

    @extend_schema(request=shapes.ReadingsIn, responses={201: shapes.ReadingsOut, **_REFUSALS})
    def post(self, request: Request, public_id: uuid.UUID) -> Response:
        study, data = self.study(request, public_id), self.read(request, shapes.ReadingsIn)
        signed = self.signed(request, data, guard.IMPORT_MEANING)
        n = imports.readings_import(
            actor=person(request), study=study, data=data["readings"].encode(), signature=signed
        )  # fmt: skip
        return Response({"readings": n, "warnings": washout_warnings(study)}, status=201)


class StudyGrid(StudyView):
    """Reader x session x case: states and times, never an answer."""

    @extend_schema(responses={200: shapes.GridRowOut(many=True), 404: ErrorSerializer})
    def get(self, request: Request, public_id: uuid.UUID) -> Response:
        _, rows = study_grid(self.study(request, public_id))
        return Response(shapes.GridRowOut(rows, many=True).data)
