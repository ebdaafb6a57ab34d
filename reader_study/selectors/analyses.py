"""Analyses as the coordinators of their study see them. Nobody else sees any."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet

from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User
from reader_study.models import Analysis, ReadingSession, Study


def analysis_list(study: Study) -> QuerySet[Analysis]:
    """Newest first, without their documents. 1 query."""
    return (
        Analysis.objects.filter(study=study)
        .select_related("job", "created_by", "protocol", "result")
        .defer("inputs", "result__result", "protocol__document")
        .order_by("-id")
    )


def analysis_get(public_id: uuid.UUID | str, *, for_user: User, inputs: bool = False) -> Analysis:
    """One analysis of a study that this person coordinates; the frozen inputs only where they are wanted. 1 query.

    Raises
    ------
    NotFound
    """
    rows = Analysis.objects.filter(public_id=public_id, study__coordinators=for_user)
    rows = rows.select_related("study", "job", "protocol", "created_by", "result").defer("protocol__document")
    analysis = (rows if inputs else rows.defer("inputs")).first()
    if analysis is None:
        raise NotFound("There is no such analysis in your studies.", hint="Go back to the list of studies.")
    return analysis


def result_of(analysis: Analysis) -> dict[str, Any]:
    """The result as data.

    Raises
    ------
    NotFound
        It is not computed yet.
    """
    if not hasattr(analysis, "result"):
        raise NotFound("This analysis is not computed yet.", code="E_NOT_COMPUTED", hint="Wait for its job.")
    result: dict[str, Any] = analysis.result.result
    return result


def sessions_unfinished(study: Study) -> list[str]:
    """Sessions that are neither sealed nor void, as a person would call them. 1 query."""
    rows = ReadingSession.objects.filter(reader__study=study).exclude(
        state__in=[ReadingSession.State.SEALED, ReadingSession.State.VOID]
    )
    return [
        f"{label} session {number}"
        for label, number in rows.order_by("reader__label", "number").values_list("reader__label", "number")
    ]
