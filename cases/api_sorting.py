"""The REST API of sorting. A sorter reaches their own queue and decisions, and nobody else's."""

from __future__ import annotations

import uuid
from collections import Counter

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.agreement import agreement_report
from cases.api_sorting_serializers import (
    ConsensusOut,
    DecisionsIn,
    HistoryOut,
    QueueOut,
    SavedOut,
    SeatIn,
    TaskIn,
    TaskOut,
)
from cases.consensus import OPEN, ConsensusRule
from cases.models import HpfImage, SortingSeat
from cases.selectors import sorting_queue
from cases.selectors.sorting import consensus_for_task, rule_of
from cases.selectors.sorting_agreement import sorted_table
from cases.services import sorting
from cases.services.exposures import exposures_record
from cases.services.sorting_tasks import task_close, task_create, task_request
from leukoweb.core.api import Pages
from leukoweb.core.api_serializers import ErrorSerializer
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.openapi import paged

_REFUSALS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}
_BOARD = OpenApiParameter(
    "X-Sorting-Board", str, OpenApiParameter.HEADER,
    description="Whose board a page is; 401 E_OTHER_PERSON if somebody else is signed in now. Scripts leave it out.",
)  # fmt: skip


class OtherPerson(DomainError):
    """A page that was opened by one person asks while another one is signed in."""

    code = "E_OTHER_PERSON"
    status = 401


class BoardView(APIView):
    """What a board asks. The page names whose it is: a tab that stayed open while somebody else signed in must not
    act as that person."""

    required_action = "sorting.sort"

    def check_permissions(self, request: Request) -> None:
        owner = request.headers.get("X-Sorting-Board", "")
        signed_in = request.user.is_authenticated
        if owner and signed_in and not sorting_queue.owns_board(person(request), self.kwargs["pk"], owner):
            raise OtherPerson(
                "Somebody else is signed in in this browser now.",
                hint="Sign out there, and sign in as the person who opened this board.",
            )
        super().check_permissions(request)


class SortingQueue(BoardView):
    """One's own queue (sorters), or the images that the sorters disagree on (adjudicators)."""

    @extend_schema(parameters=[_BOARD], responses={200: QueueOut, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        user = person(request)
        seat = sorting_queue.seat_get(user, pk)
        if seat.part == SortingSeat.Part.ADJUDICATOR:
            entries, patients = sorting_queue.disputes_of(seat)
            exposures_record(user, patients, "label")  # that the sorters disagree is told, in open mode also how
        else:
            entries = sorting_queue.queue_of(seat)
        # Not through the serializer, which would look at every cell of tens of thousands of rows.
        items = [one.as_row() for one in entries]
        return Response({"items": items, "position": seat.last_item, "preferences": seat.preferences})


class SortingDecisions(BoardView):
    """Decide. 409 with ``error.conflicts`` if another window of the same person decided meanwhile."""

    @extend_schema(parameters=[_BOARD], request=DecisionsIn, responses={200: SavedOut, **_REFUSALS})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        body = DecisionsIn(data=request.data)
        body.is_valid(raise_exception=True)
        user = person(request)
        seat = sorting_queue.seat_get(user, pk)
        adjudicates = seat.part == SortingSeat.Part.ADJUDICATOR
        save = sorting.adjudications_save if adjudicates else sorting.decisions_save
        return Response(SavedOut(save(actor=user, seat=seat, decisions=body.made())).data)


class SortingHistory(BoardView):
    """All that one has decided, in order, for undo."""

    @extend_schema(parameters=[_BOARD], responses={200: HistoryOut, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        seat = sorting_queue.seat_get(person(request), pk)
        return Response({"decisions": sorting_queue.history_of(seat)})


class SortingPlace(BoardView):
    """Where one left, and how one likes the board."""

    @extend_schema(parameters=[_BOARD], request=SeatIn, responses={204: None, **_REFUSALS})
    def put(self, request: Request, pk: uuid.UUID) -> Response:
        body = SeatIn(data=request.data)
        body.is_valid(raise_exception=True)
        user = person(request)
        sorting.seat_remember(actor=user, seat=sorting_queue.seat_get(user, pk), **body.validated_data)
        return Response(status=204)


class SortingTasks(APIView):
    """All tasks; a new one."""

    required_action = "sorting.manage"

    @paged(TaskOut, name="sorting_tasks_list")
    def get(self, request: Request) -> Response:
        pages = Pages()
        page = pages.paginate_queryset(sorting_queue.task_list(), request, view=self)
        return pages.get_paginated_response(TaskOut(page, many=True).data)

    @extend_schema(request=TaskIn, responses={201: TaskOut, **_REFUSALS})
    def post(self, request: Request) -> Response:
        body = TaskIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = dict(body.validated_data)
        rule = ConsensusRule.from_dict(data.pop("consensus", {}))
        task = task_create(actor=person(request), rule=rule, **task_request(data))
        return Response(TaskOut(task).data, status=201)


class SortingTaskClose(APIView):
    """Close a task: nobody decides any more."""

    required_action = "sorting.manage"

    @extend_schema(request=None, responses={200: TaskOut, **_REFUSALS})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(TaskOut(task_close(actor=person(request), task=sorting_queue.task_get(pk))).data)


class SortingAgreement(APIView):
    """How far the sorters agree; ``?only=labels`` leaves out images without a label from both."""

    required_action = "sorting.agreement"

    @extend_schema(responses={200: OpenApiTypes.OBJECT, 404: ErrorSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        table = sorted_table(sorting_queue.task_get(pk))
        only = request.query_params.get("only") == "labels"
        return Response(agreement_report(table.labels_only() if only else table).as_dict())


class SortingConsensus(APIView):
    """What the decisions of a task come to, by its own rule or by ``?rule=``."""

    required_action = "sorting.agreement"

    @extend_schema(responses={200: ConsensusOut, **_REFUSALS})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        task = sorting_queue.task_get(pk)
        rule = rule_of(task, request.query_params.get("rule", ""))
        found = consensus_for_task(task, rule)
        images = HpfImage.objects.filter(pk__in=found).values_list("pk", "public_id", "slide__patient_id")
        ids = {pk: public_id for pk, public_id, _ in images}
        told = {patient for pk, _, patient in images if found[pk].verdict != OPEN}
        exposures_record(person(request), told, "label")
        rows = [[str(ids[pk]), c.label, c.verdict, c.how, c.n_decisions] for pk, c in sorted(found.items())]
        counts = Counter(one.label or one.verdict for one in found.values())
        return Response(ConsensusOut({"rule": rule.as_dict(), "counts": counts, "rows": rows}).data)
